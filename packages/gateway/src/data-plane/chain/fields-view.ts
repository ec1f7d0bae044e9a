import type { Fields } from '@cardea/sdk'
import { checkedFieldName, checkedFieldValue, FieldLines } from '../fields.ts'
import { FieldRole, roleOf } from '../http1/field-names.ts'
import { isHost } from '../http1/syntax.ts'
import type { HookContext } from './context.ts'
import { type ExchangeView, Phase } from './exchange-view.ts'
import { kindOf } from './given.ts'

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

/** A power of two. Names whose lengths differ by as much share a place. */
const PLACES = 32

/**
 * A function of names with a memory. What throws is not remembered. Before the Map is asked, the last name of that length is
 * compared. *Measured*: six edits take 0.03 µs less, with the caches as under load.
 */
function remembering<Known>(check: (name: string) => Known): (name: string) => Known {
  const kept = new Map<string, Known>()
  const lastNames: (string | null)[] = new Array(PLACES).fill(null)
  const lastKnown: (Known | null)[] = new Array(PLACES).fill(null)
  return (name) => {
    const place = name.length & (PLACES - 1)
    if (lastNames[place] === name) return lastKnown[place] as Known
    let known = kept.get(name)
    if (known === undefined) {
      known = check(name)
      if (kept.size < NAMES_KEPT_MAX) kept.set(name, known)
    }
    lastNames[place] = name
    lastKnown[place] = known
    return known
  }
}

/** A name that may be that of a field, in lower case; what is none finds no field. */
const lowerCaseName = remembering((name) => name.toLowerCase())

/** A longer value is checked again each time: it is not worth keeping. */
const VALUE_KEPT_MAX = 256

/**
 * A field that plugins may edit, with the value that it was last given: the next exchange mostly gives it the same.
 * *Measured*: five edits take 0.1 µs less than with every value read to its end.
 */
class EditableField {
  /** Lower case. */
  readonly name: string
  #value: string | null = null

  constructor(name: string) {
    this.name = name
  }

  /** The value as it is written. Throws TypeError. */
  checked(value: string): string {
    // The one that is kept: what is written next is compared with what was written last, and is the same object then.
    if (value === this.#value) return this.#value
    if (typeof value !== 'string') this.#checkText(value)
    const text = checkedFieldValue(this.name, value)
    if (text.length <= VALUE_KEPT_MAX) this.#value = text
    return text
  }

  /** What nobody checked is taken where it has one obvious text. Anything else would go out as "[object Promise]". */
  #checkText(value: unknown): void {
    if (['number', 'bigint', 'boolean'].includes(typeof value)) return
    const wayOut = value instanceof Promise ? '; await it' : ''
    throw new TypeError(`The value of field "${this.name}" is a string, not ${kindOf(value)}${wayOut}`)
  }
}

/** Throws TypeError where plugins may not edit such a field. */
const editableField = remembering((name) => {
  const checked = checkedFieldName(name)
  refuseFraming(checked)
  return new EditableField(checked)
})

/** The same for a response's fields. Whether there may be an Upgrade depends on the status. */
const editableResponseField = remembering((name) => {
  const checked = checkedFieldName(name)
  if (checked !== 'upgrade') refuseFraming(checked)
  return new EditableField(checked)
})

/** What a view shows, and what edits do to it. */
interface FieldsAccess {
  lines(context: HookContext): FieldLines
  set(context: HookContext, name: string, value: string): void
  append(context: HookContext, name: string, value: string): void
  delete(context: HookContext, name: string): void
}

/**
 * The fields of a message or its trailers. One class for all: one that extends another is made by calls which V8 does not
 * inline, and plugins make two of these for each exchange.
 */
export class FieldsView implements Fields {
  readonly #context: HookContext
  readonly #access: FieldsAccess

  constructor(context: HookContext, access: FieldsAccess) {
    this.#context = context
    this.#access = access
  }

  get(name: string): string | null {
    return this.#access.lines(this.#context).get(lowerCaseName(name))
  }

  getAll(name: string): string[] {
    return this.#access.lines(this.#context).getAll(lowerCaseName(name))
  }

  has(name: string): boolean {
    return this.#access.lines(this.#context).has(lowerCaseName(name))
  }

  set(name: string, value: string): void {
    this.#access.set(this.#context, name, value)
  }

  append(name: string, value: string): void {
    this.#access.append(this.#context, name, value)
  }

  delete(name: string): void {
    this.#access.delete(this.#context, name)
  }

  *[Symbol.iterator](): Iterator<[name: string, value: string]> {
    const fields = this.#access.lines(this.#context)
    for (let i = 0; ; i += 2) {
      // Anew for each: what is added meanwhile comes as well, where these are the message's own.
      const { lines } = fields
      if (i >= lines.length) return
      yield [lines[i] as string, lines[i + 1] as string]
    }
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
const editableRequestField = remembering((given) => {
  const { name } = editableField(given)
  if (TOLD_OF_CLIENT.has(name)) {
    throw new TypeError(`Field "${name}" tells the upstream of the client; the gateway writes it itself`)
  }
  return new EditableField(name)
})

export const REQUEST_FIELDS: FieldsAccess = {
  lines: (context) => context.exchange.requestFields,

  set(context, given, value) {
    const exchange = editableRequest(context)
    const field = editableRequestField(given)
    const { name } = field
    if (name === 'host' && !isHost(String(value))) {
      throw new TypeError('The Host field can only be set to a host with an optional port (RFC 9110, 7.2)')
    }
    const text = field.checked(value)
    exchange.noteRequestEdit(name)
    exchange.requestFields.set(name, text)
  },

  append(context, given, value) {
    const exchange = editableRequest(context)
    const field = editableRequestField(given)
    const { name } = field
    if (name === 'host') throw new TypeError('There is one Host field (RFC 9112, 3.2); set it')
    const text = field.checked(value)
    exchange.noteRequestEdit(name)
    exchange.requestFields.append(name, text)
  },

  delete(context, given) {
    const exchange = editableRequest(context)
    const { name } = editableRequestField(given)
    // Also where there is no such field: what is not to be there must not come in the trailers.
    exchange.noteRequestEdit(name)
    exchange.requestFields.delete(name)
  },
}

function editableRequest(context: HookContext): ExchangeView {
  const { exchange } = context
  if (exchange.phase !== Phase.handle) {
    throw new TypeError('The request has been sent; its fields can be changed in handle only')
  }
  context.checkInHandle()
  context.willEdit()
  return exchange
}

/** In `handle` a record of edits; after that the fields of the response itself. */
export const RESPONSE_FIELDS: FieldsAccess = {
  lines({ exchange }) {
    if (exchange.phase !== Phase.handle) return exchange.responseFields
    const recorded = new FieldLines()
    exchange.edits.replayOn(recorded)
    const own = exchange.hasAnswer ? exchange.answer.fields : null
    if (own !== null) recorded.lines.push(...own.lines)
    return recorded
  },

  set(context, given, value) {
    const field = editableResponseField(given)
    const { name } = field
    // First: what is refused edits nothing.
    const text = field.checked(value)
    editedResponse(context, name).set(name, text)
  },

  append(context, given, value) {
    const field = editableResponseField(given)
    const { name } = field
    const text = field.checked(value)
    editedResponse(context, name).append(name, text)
  },

  delete(context, given) {
    const { name } = editableResponseField(given)
    editedResponse(context, name).delete(name)
  },
}

type EditableFields = Pick<FieldLines, 'set' | 'append' | 'delete'>

function editedResponse(context: HookContext, name: string): EditableFields {
  const { exchange } = context
  if (exchange.phase === Phase.sent)
    throw new TypeError('The response head has been sent; its fields are final')
  if (exchange.phase === Phase.handle) {
    context.checkInHandle()
    return name === 'upgrade' ? upgradeOf(exchange) : exchange.edits
  }
  if (name === 'upgrade' && exchange.responseStatus !== 426) refuseUpgrade()
  context.checkInResponse()
  context.willEdit()
  exchange.noteResponseEdit(name)
  return exchange.responseFields
}

/** Never among what is recorded: that would be replayed on a 101 of the upstream too. */
function upgradeOf({ answer }: ExchangeView): EditableFields {
  if (answer.status !== 426) refuseUpgrade()
  answer.fields ??= new FieldLines()
  return answer.fields
}

function refuseUpgrade(): never {
  throw new TypeError(
    'Field "upgrade" belongs to the connection; the gateway writes it itself, but for that of an answer with status 426: ' +
      'set the status first',
  )
}

/** Trailer fields: to read. */
function trailersBy(linesOf: (exchange: ExchangeView) => FieldLines | null): FieldsAccess {
  return {
    lines: ({ exchange }) => linesOf(exchange) ?? new FieldLines(),
    set: refuseTrailerEdit,
    append: refuseTrailerEdit,
    delete: refuseTrailerEdit,
  }
}

export const REQUEST_TRAILERS = trailersBy((exchange) => exchange.requestTrailers)
export const RESPONSE_TRAILERS = trailersBy((exchange) => exchange.responseTrailers)

function refuseTrailerEdit(): never {
  throw new TypeError('Trailer fields can be read, not changed')
}
