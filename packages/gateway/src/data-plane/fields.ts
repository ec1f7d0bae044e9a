/**
 * The field lines of one message, in the order received (RFC 9110, 5). A flat list, because a head has a dozen lines
 * and a linear scan over interned names beats a map that has to be built first.
 */
export class FieldLines {
  /** name, value, name, value, … Names are lower case. */
  readonly lines: string[] = []

  /** The values of all lines of that name joined by `, `, or null. `name` must be lower case. */
  get(name: string): string | null {
    const lines = this.lines
    let found: string | null = null
    for (let i = 0; i < lines.length; i += 2) {
      if (lines[i] === name) found = found === null ? (lines[i + 1] as string) : `${found}, ${lines[i + 1]}`
    }
    return found
  }

  getAll(name: string): string[] {
    const lines = this.lines
    const found: string[] = []
    for (let i = 0; i < lines.length; i += 2) {
      if (lines[i] === name) found.push(lines[i + 1] as string)
    }
    return found
  }

  has(name: string): boolean {
    const lines = this.lines
    for (let i = 0; i < lines.length; i += 2) {
      if (lines[i] === name) return true
    }
    return false
  }

  /** Replaces the first line of that name, removes the others; appends when there is none. */
  set(name: string, value: string): void {
    const lines = this.lines
    for (let i = 0; i < lines.length; i += 2) {
      if (lines[i] === name) {
        lines[i + 1] = value
        this.#deleteFrom(name, i + 2)
        return
      }
    }
    lines.push(name, value)
  }

  append(name: string, value: string): void {
    this.lines.push(name, value)
  }

  delete(name: string): void {
    this.#deleteFrom(name, 0)
  }

  /** Each name once. */
  names(): ReadonlySet<string> {
    return new Set(this.lines.filter((_, index) => index % 2 === 0))
  }

  get size(): number {
    return this.lines.length / 2
  }

  #deleteFrom(name: string, from: number): void {
    const lines = this.lines
    let kept = from
    for (let i = from; i < lines.length; i += 2) {
      if (lines[i] === name) continue
      if (kept !== i) {
        lines[kept] = lines[i] as string
        lines[kept + 1] = lines[i + 1] as string
      }
      kept += 2
    }
    lines.length = kept
  }
}

/** token (RFC 9110, 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** field-value without leading or trailing white space: VCHAR, obs-text, SP and HTAB inside (RFC 9110, 5.5). */
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/

/** The lower-case form of a field name that a plugin gave. Throws TypeError when it is no token. */
export function checkedFieldName(name: string): string {
  if (!TOKEN.test(name))
    throw new TypeError(`Field name ${JSON.stringify(name)} is not a token (RFC 9110, 5.6.2)`)
  return name.toLowerCase()
}

/**
 * The value that a plugin gave, without the white space around it, as Fetch's Headers have it. Throws TypeError on
 * control characters (a line break would start another field) and on characters past U+00FF, which have no byte on the
 * wire.
 */
export function checkedFieldValue(name: string, value: string): string {
  const text = String(value)
  if (VALUE.test(text)) return text
  const trimmed = trimmedValue(text)
  if (!VALUE.test(trimmed)) {
    throw new TypeError(`The value of field "${name}" holds a character that RFC 9110, 5.5 does not allow`)
  }
  return trimmed
}

/** `String.trim` would take U+00A0 too, which is part of a value (RFC 9110, 5.5); a regular expression takes n² steps. */
function trimmedValue(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && WHITE_SPACE.includes(text.charAt(start))) start++
  while (end > start && WHITE_SPACE.includes(text.charAt(end - 1))) end--
  return text.substring(start, end)
}

const WHITE_SPACE = '\t\n\r '
