/**
 * Regular expressions over origins, matched by an automaton: whatever the pattern and whatever is sent, matching takes
 * one step per character and state. JavaScript's own engine tries alternatives one after another, and `^(a+)+$` takes
 * it longer than anyone waits.
 *
 * What is understood: literals, escapes, `.`, `\d`, `\w`, classes, groups, `|`, `?`, `*`, `+`, `{n,m}`. What looks
 * around or back is refused, and so is what would match more than its author sees.
 */

/** States of the automaton; the time of a match is bounded by this times the origin's length. */
const STATES_MAX = 2_000
const REPEAT_MAX = 255

type Tree =
  | { readonly kind: 'class'; readonly accepts: (code: number) => boolean }
  | { readonly kind: 'sequence'; readonly parts: readonly Tree[] }
  | { readonly kind: 'choice'; readonly parts: readonly Tree[] }
  | { readonly kind: 'repeat'; readonly part: Tree; readonly min: number; readonly max: number }

/** A state takes a character and goes on to `next`, or (`accepts` null) goes on to each of `next` without one. */
interface State {
  readonly accepts: ((code: number) => boolean) | null
  next: number[]
}

/** Compiles a pattern to a test of whole origins. Throws an Error whose message completes "the pattern …". */
export function compilePattern(pattern: string): (origin: string) => boolean {
  if (!pattern.startsWith('^')) throw new Error('does not begin with "^", so anything could stand before it')
  if (!pattern.endsWith('$') || isEscaped(pattern, pattern.length - 1)) {
    throw new Error('does not end with "$", so anything could stand after it')
  }
  const tree = new PatternParser(pattern.slice(1, -1)).parse()
  const states: State[] = []
  const end = add(states, null, [])
  const start = build(tree, end, states)
  return (origin) => run(states, start, end, origin)
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0
  while (text[at - 1 - backslashes] === '\\') backslashes++
  return backslashes % 2 === 1
}

class PatternParser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  parse(): Tree {
    const first = this.#sequence()
    if (this.#peek() === '|') {
      throw new Error('has "|" outside of a group, so its ends hold for one side only: write ^(?:a|b)$')
    }
    if (this.#at < this.#text.length) throw new Error(`has a "${this.#peek()}" that closes nothing`)
    return first
  }

  #peek(): string | undefined {
    return this.#text[this.#at]
  }

  #choice(): Tree {
    const parts = [this.#sequence()]
    while (this.#peek() === '|') {
      this.#at++
      parts.push(this.#sequence())
    }
    return parts.length === 1 ? (parts[0] as Tree) : { kind: 'choice', parts }
  }

  #sequence(): Tree {
    const parts: Tree[] = []
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      const isDot = next === '.'
      const atom = this.#atom()
      const repeated = this.#repeated(atom)
      if (isDot && repeated === atom) {
        throw new Error('has a "." that stands for any character, so that other hosts match: write "\\."')
      }
      parts.push(repeated)
    }
    return { kind: 'sequence', parts }
  }

  #atom(): Tree {
    const char = this.#text[this.#at++] as string
    switch (char) {
      case '(':
        return this.#group()
      case '[':
        return { kind: 'class', accepts: this.#class() }
      case '\\':
        return { kind: 'class', accepts: this.#escape() }
      case '.':
        return { kind: 'class', accepts: () => true }
      case '^':
      case '$':
        throw new Error(`has a "${char}" inside; it begins with "^" and ends with "$" and has no others`)
      case '*':
      case '+':
      case '?':
      case '{':
        throw new Error(`has a "${char}" that repeats nothing`)
      default:
        return { kind: 'class', accepts: only(char) }
    }
  }

  #group(): Tree {
    if (this.#peek() === '?') {
      if (this.#text[this.#at + 1] !== ':') {
        throw new Error('has a group that looks around or has a name; there are (…) and (?:…) only')
      }
      this.#at += 2
    }
    const inside = this.#choice()
    if (this.#text[this.#at++] !== ')') throw new Error('has a "(" that is never closed')
    return inside
  }

  /** After a backslash. */
  #escape(): (code: number) => boolean {
    const char = this.#text[this.#at++] ?? ''
    if (char === 'd') return isDigit
    if (char === 'w') return isWord
    if (/[a-zA-Z0-9]/.test(char) || char === '') {
      throw new Error(`has "\\${char}"; the escapes are \\d, \\w, and those of characters like "." and "/"`)
    }
    return only(char)
  }

  /** After `[`. */
  #class(): (code: number) => boolean {
    const isNegated = this.#peek() === '^'
    if (isNegated) this.#at++
    const members: ((code: number) => boolean)[] = []
    for (;;) {
      const char = this.#text[this.#at++]
      if (char === undefined) throw new Error('has a "[" that is never closed')
      if (char === ']') break
      if (char === '\\') members.push(this.#escape())
      else if (this.#peek() === '-' && !['', ']'].includes(this.#text[this.#at + 1] ?? '')) {
        const last = this.#text[this.#at + 1] as string
        this.#at += 2
        members.push(between(char, last))
      } else members.push(only(char))
    }
    if (members.length === 0) throw new Error('has an empty class "[]"')
    return (code) => members.some((accepts) => accepts(code)) !== isNegated
  }

  #repeated(part: Tree): Tree {
    const [text, minText, comma, maxText] =
      /^(?:[?*+]|\{(\d+)(,?)(\d*)\})/.exec(this.#text.slice(this.#at)) ?? []
    if (text === undefined) return part
    this.#at += text.length
    // A lazy repeat takes the same whole texts as a greedy one.
    if (this.#peek() === '?') this.#at++
    if (['?', '*', '+', '{'].includes(this.#peek() ?? ''))
      throw new Error(`repeats a repeat: "${text}${this.#peek()}"`)
    if (minText === undefined) {
      return {
        kind: 'repeat',
        part,
        min: text === '+' ? 1 : 0,
        max: text === '?' ? 1 : Number.POSITIVE_INFINITY,
      }
    }
    const min = Number(minText)
    const max = comma === '' ? min : maxText === '' ? Number.POSITIVE_INFINITY : Number(maxText)
    if (min > max || min > REPEAT_MAX || (max > REPEAT_MAX && Number.isFinite(max))) {
      throw new Error(`has "${text}"; a repeat goes from less to more, up to ${REPEAT_MAX}`)
    }
    return { kind: 'repeat', part, min, max }
  }
}

function only(char: string): (code: number) => boolean {
  const wanted = char.charCodeAt(0)
  return (code) => code === wanted
}

function between(first: string, last: string): (code: number) => boolean {
  const [from, to] = [first.charCodeAt(0), last.charCodeAt(0)]
  if (last === '\\' || from > to) throw new Error(`has the range "${first}-${last}", which is none`)
  return (code) => code >= from && code <= to
}

const isDigit = between('0', '9')
const isWord = (code: number): boolean => /\w/.test(String.fromCharCode(code))

function add(states: State[], accepts: State['accepts'], next: number[]): number {
  if (states.length >= STATES_MAX) throw new Error('is too large; its repeats multiply')
  return states.push({ accepts, next }) - 1
}

/** Adds the states of `tree`, which go on to `next`; returns the first of them. Built from the end to the start. */
function build(tree: Tree, next: number, states: State[]): number {
  switch (tree.kind) {
    case 'class':
      return add(states, tree.accepts, [next])
    case 'sequence':
      return tree.parts.reduceRight((after, part) => build(part, after, states), next)
    case 'choice':
      return add(
        states,
        null,
        tree.parts.map((part) => build(part, next, states)),
      )
    case 'repeat': {
      let after = next
      if (tree.max === Number.POSITIVE_INFINITY) {
        const loop = add(states, null, [next])
        states[loop]?.next.push(build(tree.part, loop, states))
        after = loop
      } else {
        for (let i = tree.min; i < tree.max; i++)
          after = add(states, null, [next, build(tree.part, after, states)])
      }
      for (let i = 0; i < tree.min; i++) after = build(tree.part, after, states)
      return after
    }
  }
}

function run(states: readonly State[], start: number, end: number, text: string): boolean {
  let current = new Set<number>()
  enter(states, start, current)
  for (let i = 0; i < text.length && current.size > 0; i++) {
    const code = text.charCodeAt(i)
    const following = new Set<number>()
    for (const at of current) {
      const state = states[at]
      if (state?.accepts?.(code)) for (const next of state.next) enter(states, next, following)
    }
    current = following
  }
  return current.has(end)
}

/** The state and all that it goes on to without a character. */
function enter(states: readonly State[], first: number, into: Set<number>): void {
  const waiting = [first]
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (into.has(at)) continue
    into.add(at)
    const state = states[at]
    if (state?.accepts === null) waiting.push(...state.next)
  }
}
