import type { Fields } from '@cardea/sdk'
import { checkedFieldName, checkedFieldValue, FieldLines } from '../fields.ts'
import { FieldRole, roleOf } from '../http1/field-names.ts'
import { isHost } from '../http1/syntax.ts'
import type { HookContext } from './context.ts'
import { type ExchangeView, Phase } from './exchange-view.ts'

/** Fields that frame the message or belong to one connection: the gateway's own to write. */
function refuseFraming(name: string): void {
  switch (roleOf(name)) {
    case FieldRole.contentLength:
    case FieldRole.transferEncoding:
    case FieldRole.connection:
    case FieldRole.upgrade:
    case FieldRole.te:
    case FieldRole.expect:
    case FieldRole.dropped:
      throw new TypeError(
        `Field "${name}" frames the message or the connection; the gateway writes it itself`,
      )
    default:
  }
}

/** Plugins name the same few fields for every exchange; checking a name costs as much as the rest of an edit. */
const NAMES_KEPT_MAX = 1_000

/** A function of names with a memory. What throws is not remembered. */
function remembering(check: (name: string) => string): (name: string) => string {
  const kept = new Map<string, string>()
  return (name) => {
    const known = kept.get(name)
    if (known !== undefined) return known
    const checked = check(name)
    if (kept.size < NAMES_KEPT_MAX) kept.set(name, checked)
    return checked
  }
}

/** A name that may be that of a field, in lower case; what is none finds no field. */
const lowerCaseName = remembering((name) => name.toLowerCase())

/** The lower-case name, if plugins may edit such a field. Throws TypeError. */
const editableName = remembering((name) => {
  const checked = checkedFieldName(name)
  refuseFraming(checked)
  return checked
})

/** The part that request and response fields have in common: reading. */
abstract class ReadableFields {
  protected readonly context: HookContext

  constructor(context: HookContext) {
    this.context = context
  }

  protected abstract lines(): FieldLines

  get(name: string): string | null {
    return this.lines().get(lowerCaseName(name))
  }

  getAll(name: string): string[] {
    return this.lines().getAll(lowerCaseName(name))
  }

  has(name: string): boolean {
    return this.lines().has(lowerCaseName(name))
  }

  *[Symbol.iterator](): Iterator<[name: string, value: string]> {
    const { lines } = this.lines()
    for (let i = 0; i < lines.length; i += 2) yield [lines[i] as string, lines[i + 1] as string]
  }
}

/** What the gateway tells an upstream of the client, on lines of its own: a second line would be a second opinion. */
const TOLD_OF_CLIENT: ReadonlySet<string> = new Set([
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'forwarded',
  'x-request-id',
])

/** The same for a request's fields. */
const editableRequestName = remembering((name) => {
  const checked = editableName(name)
  if (TOLD_OF_CLIENT.has(checked)) {
    throw new TypeError(`Field "${checked}" tells the upstream of the client; the gateway writes it itself`)
  }
  return checked
})

export class RequestFieldsView extends ReadableFields implements Fields {
  protected override lines(): FieldLines {
    return this.context.exchange.requestFields
  }

  set(name: string, value: string): void {
    const exchange = this.#editable()
    const checked = editableRequestName(name)
    if (checked === 'host' && !isHost(String(value))) {
      throw new TypeError('The Host field can only be set to a host with an optional port (RFC 9110, 7.2)')
    }
    const text = checkedFieldValue(checked, value)
    exchange.noteRequestEdit(checked)
    exchange.requestFields.set(checked, text)
  }

  append(name: string, value: string): void {
    const exchange = this.#editable()
    const checked = editableRequestName(name)
    if (checked === 'host') throw new TypeError('There is one Host field (RFC 9112, 3.2); set it')
    const text = checkedFieldValue(checked, value)
    exchange.noteRequestEdit(checked)
    exchange.requestFields.append(checked, text)
  }

  delete(name: string): void {
    const exchange = this.#editable()
    const checked = editableRequestName(name)
    // Also where there is no such field: what is not to be there must not come in the trailers.
    exchange.noteRequestEdit(checked)
    exchange.requestFields.delete(checked)
  }

  /** No getter: V8 calls into its runtime for a private one. */
  #editable(): ExchangeView {
    const { exchange } = this.context
    if (exchange.phase !== Phase.handle) {
      throw new TypeError('The request has been sent; its fields can be changed in handle only')
    }
    this.context.checkInHandle()
    this.context.willEdit()
    return exchange
  }
}

/** In `handle` a record of edits; after that the fields of the response itself. */
export class ResponseFieldsView extends ReadableFields implements Fields {
  protected override lines(): FieldLines {
    const { exchange } = this.context
    if (exchange.phase !== Phase.handle) return exchange.responseFields
    const recorded = new FieldLines()
    exchange.edits.replayOn(recorded)
    return recorded
  }

  set(name: string, value: string): void {
    const checked = editableName(name)
    this.#edited(checked).set(checked, checkedFieldValue(checked, value))
  }

  append(name: string, value: string): void {
    const checked = editableName(name)
    this.#edited(checked).append(checked, checkedFieldValue(checked, value))
  }

  delete(name: string): void {
    const checked = editableName(name)
    this.#edited(checked).delete(checked)
  }

  #edited(name: string): Pick<FieldLines, 'set' | 'append' | 'delete'> {
    const { exchange } = this.context
    if (exchange.phase === Phase.sent)
      throw new TypeError('The response head has been sent; its fields are final')
    if (exchange.phase === Phase.handle) {
      this.context.checkInHandle()
      return exchange.edits
    }
    this.context.checkInResponse()
    this.context.willEdit()
    exchange.noteResponseEdit(name)
    return exchange.responseFields
  }
}

/** Trailer fields: to read. */
export class TrailersView extends ReadableFields implements Fields {
  readonly #of: (context: HookContext) => FieldLines | null

  constructor(context: HookContext, of: (context: HookContext) => FieldLines | null) {
    super(context)
    this.#of = of
  }

  protected override lines(): FieldLines {
    return this.#of(this.context) ?? new FieldLines()
  }

  set(): void {
    throw readOnlyTrailers()
  }

  append(): void {
    throw readOnlyTrailers()
  }

  delete(): void {
    throw readOnlyTrailers()
  }
}

const readOnlyTrailers = () => new TypeError('Trailer fields can be read, not changed')
