import { type Context, consumerOf } from '@cardea/sdk'
import { type AddressPrefixes, networkOf } from './client-address.ts'

/** Finds what of a request has a limit of its own. */
export type KeyOf = (ctx: Context) => string

/**
 * The key of a limit: its name, what it goes by, and the parts, none of which can be mistaken for another or for two of them,
 * whatever a client writes into a header. A limit of the same name that goes by something else has other keys, also for
 * those clients of whom both know the address only.
 */
export function keyOf(name: string, parts: readonly string[], prefixes: AddressPrefixes): KeyOf {
  const start = `${name} ${parts.join()}`
  const readers = parts.map((part) => partReader(part, prefixes))
  const [first] = readers
  if (first !== undefined && readers.length === 1) {
    const whole = keeping((part) => `${start} ${part}`)
    return (ctx) => whole(first(ctx))
  }
  return (ctx) => {
    let key = start
    for (const reader of readers) {
      const part = reader(ctx)
      key += ` ${part.length} ${part}`
    }
    return key
  }
}

/** Clients that are asked about again and again; one more, and all are forgotten. */
const TEXTS_KEPT_MAX = 1_000
/** Longer text is made anew each time: a client could have much kept by it. */
const TEXT_LENGTH_MAX = 128

/**
 * A function of texts with a memory. The same text again is the same string then: a new one is put together, hashed and
 * interned by V8 before it finds its bucket.
 */
function keeping(make: (text: string) => string): (text: string) => string {
  let kept = new Map<string, string>()
  return (text) => {
    const known = kept.get(text)
    if (known !== undefined) return known
    if (text.length > TEXT_LENGTH_MAX) return make(text)
    const made = interned(make(text))
    if (kept.size === TEXTS_KEPT_MAX) kept = new Map()
    kept.set(text, made)
    return made
  }
}

/** The one string of that text by which V8 knows names; any other is looked up among all names before it is in a Map. */
function interned(text: string): string {
  const named = Object.create(null) as Record<string, null>
  named[text] = null
  return Object.keys(named)[0] ?? text
}

/** Where there is no consumer and no header there is still a client; its address must not look like a name. */
function partReader(part: string, prefixes: AddressPrefixes): KeyOf {
  const network = keeping((address) => networkOf(address, prefixes))
  const address: KeyOf = (ctx) => network(ctx.request.clientIp)
  switch (part) {
    case 'ip':
      return address
    case 'route':
      return (ctx) => ctx.route.name
    case 'consumer': {
      const named = keeping((id) => `id ${id}`)
      return (ctx) => {
        const consumer = consumerOf(ctx)
        return consumer === null || consumer.anonymous ? `ip ${address(ctx)}` : named(consumer.id)
      }
    }
    default: {
      const field = part.slice('header:'.length)
      return (ctx) => {
        const value = ctx.request.headers.get(field)
        return value === null ? `ip ${address(ctx)}` : `is ${value}`
      }
    }
  }
}
