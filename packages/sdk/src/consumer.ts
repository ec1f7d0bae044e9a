import type { Cloneable, Context } from './index.ts'

/**
 * Who is calling: what an authentication plugin found out, for the plugins after it.
 *
 * `key-auth` and `jwt` set it, a plugin of your own can; a rate limiter counts by it, an access log writes it:
 *
 *     import { consumerOf, defineConsumer, setConsumer } from '@cardea/sdk'
 *
 *     const mobile = defineConsumer({ id: 'mobile-app', groups: ['beta'], method: 'key-auth', credential: 'k1' })
 *     handle(ctx) { setConsumer(ctx, mobile); return true }              // whoever authenticates
 *     handle(ctx) { return consumerOf(ctx)?.groups.includes('beta') … }  // whoever comes later
 *     onFinish(ctx) { line.consumer = consumerOf(ctx)?.id ?? null }      // also what stands before it in the chain
 *
 * It lives in `ctx.values`, so it is plain data, crosses a process like all values, and ends with its exchange. Nothing
 * that a client sends becomes a consumer by itself: no header is read here and none is written.
 */
export type Consumer = {
  /** Unique among the consumers of a gateway: the name in the config, or the subject of a token. Never empty. */
  readonly id: string
  /** What it belongs to, for rules such as a route's required groups. */
  readonly groups: readonly string[]
  /** What the config or the token says besides: a plan, a contact, a tenant. Fit for logs: holds no secret. */
  readonly metadata: { readonly [key: string]: Cloneable }
  /** True for one that stands for everybody who brought no credentials. Then it proves nothing. */
  readonly anonymous: boolean
  /** How it was authenticated: by custom the name of the plugin. */
  readonly method: string
  /** Which of its credentials it used: a name or an id that is fit for logs, never the secret itself. Null: unknown. */
  readonly credential: string | null
  /** Unix time in milliseconds at which the credential ends, or null. */
  readonly expiresAt: number | null
}

/** Where the consumer stands in `ctx.values`. */
const KEY = 'cardea.consumer'

/**
 * A consumer with the defaults filled in: no groups, no metadata, not anonymous, credential and expiry unknown. It is
 * frozen, with all that is in it, so that one object can serve all exchanges. Throws TypeError without an id or a
 * method.
 */
export function defineConsumer(given: Pick<Consumer, 'id' | 'method'> & Partial<Consumer>): Consumer {
  for (const name of ['id', 'method'] as const) {
    if (typeof given[name] !== 'string' || given[name] === '') {
      throw new TypeError(
        `A consumer needs ${name === 'id' ? 'an id' : 'a method'}: a string that is not empty`,
      )
    }
  }
  return deeplyFrozen({
    id: given.id,
    groups: [...(given.groups ?? [])],
    metadata: structuredClone(given.metadata ?? {}),
    anonymous: given.anonymous ?? false,
    method: given.method,
    credential: given.credential ?? null,
    expiresAt: given.expiresAt ?? null,
  })
}

/**
 * Says who is calling. Later in the chain wins: where two plugins authenticate, the second one's consumer is what the
 * others see. But an anonymous consumer never takes the place of one that proved who it is; then this returns false.
 */
export function setConsumer(ctx: Pick<Context, 'values'>, consumer: Consumer): boolean {
  const { values } = ctx
  if (consumer.anonymous && consumerIn(values)?.anonymous === false) return false
  values.set(KEY, consumer)
  return true
}

/** Who is calling, or null where nobody authenticated (so far). In every hook of every plugin of the chain. */
export function consumerOf(ctx: Pick<Context, 'values'>): Consumer | null {
  return consumerIn(ctx.values)
}

function consumerIn(values: ReadonlyMap<string, Cloneable>): Consumer | null {
  return (values.get(KEY) as Consumer | undefined) ?? null
}

function deeplyFrozen<T>(value: T): T {
  // Bytes cannot be frozen, and a Date changes all the same.
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  for (const member of Object.values(value)) deeplyFrozen(member)
  return Object.freeze(value)
}
