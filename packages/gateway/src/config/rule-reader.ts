import { isObject, joinPointer, readPointer } from './pointer.ts'
import { type ValueProblem, valueProblem } from './problem.ts'
import type { ConfigProblem, SourceMap } from './types.ts'

/** Reads a value of unknown form, and gathers problems. */
export class RuleReader {
  readonly problems: ConfigProblem[] = []
  readonly #value: unknown
  readonly #source: SourceMap

  constructor(value: unknown, source: SourceMap) {
    this.#value = value
    this.#source = source
  }

  report(problem: Omit<ValueProblem, 'source'>): void {
    // What is near to a secret would tell of it.
    const nearest = this.isExpanded(problem.pointer) ? null : problem.nearest
    this.problems.push(valueProblem({ ...problem, nearest: nearest ?? null, source: this.#source }))
  }

  /** The value in its written form, as JSON: for messages. */
  shown(pointer: string): string {
    return JSON.stringify(this.#source.written(pointer)) ?? 'nothing'
  }

  /** `: reason`, unless the value came through a variable: a reason quotes it. */
  because(pointer: string, reason: string): string {
    return this.isExpanded(pointer) ? '' : `: ${reason}`
  }

  isExpanded(pointer: string): boolean {
    return this.#source.isExpanded(pointer)
  }

  has(pointer: string): boolean {
    return readPointer(this.#value, pointer) !== undefined
  }

  read(pointer: string): unknown {
    return readPointer(this.#value, pointer)
  }

  string(pointer: string): string | null {
    const value = this.read(pointer)
    return typeof value === 'string' ? value : null
  }

  /** The members of a list or an object. */
  members(pointer: string): [pointer: string, key: string, value: unknown][] {
    const value = this.read(pointer)
    if (!isObject(value) && !Array.isArray(value)) return []
    return Object.entries(value).map(([key, member]) => [joinPointer(pointer, key), key, member])
  }

  /** The strings among the members of a list. */
  strings(pointer: string): [pointer: string, value: string][] {
    return this.members(pointer).flatMap(([at, , value]) => (typeof value === 'string' ? [[at, value]] : []))
  }
}

/** Fields that frame the message or belong to one connection: the gateway writes them itself. */
const FRAMING_FIELDS = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/**
 * Refuses fields that would break the framing of the configured response at this place, and two fields of one name. A 426
 * has to say what to upgrade to (RFC 9110, 15.5.22).
 */
export function checkResponseFields(reader: RuleReader, response: string): void {
  const seen = new Set<string>()
  const asksForUpgrade = reader.read(`${response}/status`) === 426
  for (const [at, name] of reader.members(`${response}/headers`)) {
    const lower = name.toLowerCase()
    const isUpgrade = lower === 'upgrade'
    if (FRAMING_FIELDS.has(lower) && !(isUpgrade && asksForUpgrade)) {
      const exception = isUpgrade ? ', but for that of status 426' : ''
      reader.report({
        pointer: at,
        expected: 'another field',
        message: `The field "${name}" in a configured response is set by the gateway itself${exception}: leave it out.`,
        atKey: true,
      })
    }
    if (seen.has(lower)) reportTwice(reader, at, name)
    seen.add(lower)
  }
}

export function reportTwice(reader: RuleReader, pointer: string, name: string): void {
  reader.report({
    pointer,
    expected: 'each field once',
    message: `The field "${name}" stands twice: field names are case-insensitive (RFC 9110, 5.1).`,
    atKey: true,
  })
}
