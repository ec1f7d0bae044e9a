import { type Context, consumerOf } from '@cardea/sdk'
import { type AddressPrefixes, networkOf } from './client-address.ts'

/** Finds what of a request has a limit of its own. */
export type KeyOf = (ctx: Context) => string

/**
 * The key of a limit: its name and the parts, none of which can be mistaken for another or for two of them, whatever a
 * client writes into a header.
 */
export function keyOf(name: string, parts: readonly string[], prefixes: AddressPrefixes): KeyOf {
  const readers = parts.map((part) => partReader(part, prefixes))
  const [first] = readers
  if (first !== undefined && readers.length === 1) return (ctx) => `${name} ${first(ctx)}`
  return (ctx) => {
    let key = name
    for (const reader of readers) {
      const part = reader(ctx)
      key += ` ${part.length} ${part}`
    }
    return key
  }
}

/** Where there is no consumer and no header there is still a client; its address must not look like a name. */
function partReader(part: string, prefixes: AddressPrefixes): KeyOf {
  const address: KeyOf = (ctx) => networkOf(ctx.request.clientIp, prefixes)
  switch (part) {
    case 'ip':
      return address
    case 'route':
      return (ctx) => ctx.route.name
    case 'consumer':
      return (ctx) => {
        const consumer = consumerOf(ctx)
        return consumer === null || consumer.anonymous ? `ip ${address(ctx)}` : `id ${consumer.id}`
      }
    default: {
      const field = part.slice('header:'.length).toLowerCase()
      return (ctx) => {
        const value = ctx.request.headers.get(field)
        // With its name: the same value of another header is another key.
        return value === null ? `ip ${address(ctx)}` : `header:${field} ${value}`
      }
    }
  }
}
