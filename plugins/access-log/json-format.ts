import type { Context, FinishRecord } from '@cardea/sdk'
import { type Reader, readerOf } from './fields.ts'
import type { Format } from './formats.ts'
import type { Redaction } from './redact.ts'
import { quoted } from './text.ts'

/** A JSON object. What is not there is left out, so that lines are no longer than they need to be. */
export function jsonFormat(names: readonly string[], redaction: Redaction): Format {
  const members = names.map((name) => new JsonMember(name, readerOf(name, redaction)))
  return (ctx, record, dropped) => {
    let text = ''
    for (const member of members) text = added(text, member.textOf(ctx, record))
    if (dropped > 0) text = added(text, `,"dropped_before":${dropped}`)
    return text === '' ? '{}' : `${text}}`
  }
}

/** `member` begins with a comma, unless there is none. */
function added(text: string, member: string): string {
  return text === '' && member !== '' ? `{${member.slice(1)}` : text + member
}

/** A member whose value has differed so often in a row differs in most lines. */
const MISSES_MAX = 16

/** One member of every line. Most values are those of the line before: route, target, method, host, often the client. */
class JsonMember {
  readonly #key: string
  readonly #read: Reader
  #lastValue: string | null = null
  /** With the key and a comma before it. */
  #lastText = ''
  #misses = 0

  constructor(name: string, read: Reader) {
    this.#key = `,${quoted(name)}:`
    this.#read = read
  }

  /** With a comma before it; empty when there is no value. */
  textOf(ctx: Context, record: FinishRecord): string {
    const value = this.#read(ctx, record)
    if (value === null) return ''
    if (typeof value !== 'string') return this.#key + value
    if (this.#misses === MISSES_MAX) return this.#key + quoted(value)
    if (value === this.#lastValue) this.#misses = 0
    else this.#remember(value)
    return this.#lastText
  }

  #remember(value: string): void {
    this.#misses++
    this.#lastValue = value
    this.#lastText = this.#key + quoted(value)
  }
}
