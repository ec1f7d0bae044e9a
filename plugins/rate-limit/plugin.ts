import {
  type Context,
  type Host,
  type Middleware,
  type QuotaDecision,
  type QuotaRequest,
  sendProblem,
} from '@cardea/sdk'
import { refuseDisagreement } from './agreement.ts'
import { type Config, type Limit, limitsOf } from './config.ts'
import { type KeyOf, keyOf } from './keys.ts'

/** One limit as it is used: everything that is the same for all requests is made once. */
interface Gate {
  readonly limit: Limit
  readonly keyOf: KeyOf
  /** The same object for every request: `host.quota` keeps nothing of it. */
  readonly request: { key: string } & Omit<QuotaRequest, 'key'>
  /** The limit's item of RateLimit (draft-ietf-httpapi-ratelimit-headers), up to its number. */
  readonly itemStart: string
}

export function PluginMain(config: Config, host: Host): Middleware<Config> {
  const limits = limitsOf(config, host.name)
  const gates = limits.map((limit) => gateOf(limit, config))
  const requests = gates.map(({ request }) => request)
  const policies = gates.map(({ limit }) => policyOf(limit)).join(', ')
  const [only] = gates

  const tell = (ctx: Context, items: string): void => {
    if (!config.headers) return
    ctx.response.headers.set('ratelimit-policy', policies)
    ctx.response.headers.set('ratelimit', items)
  }

  const itemsOf = (decisions: readonly QuotaDecision[]): string =>
    decisions.map((decision, at) => itemOf(gates[at], decision)).join(', ')

  const refuse = (ctx: Context, decisions: readonly QuotaDecision[]): false => {
    if (decisions.some(({ isUnknown }) => isUnknown)) return sendProblem(ctx, UNKNOWN, { 'retry-after': '1' })
    const violated = gates.filter((_, at) => decisions[at]?.allowed === false)
    const waitMs = Math.max(...decisions.map(({ allowed, retryAfterMs }) => (allowed ? 0 : retryAfterMs)))
    tell(ctx, itemsOf(decisions))
    return ctx.response.send(problemText(ctx, violated), {
      status: 429,
      headers: {
        'content-type': 'application/problem+json',
        'cache-control': 'no-store',
        'retry-after': String(Math.max(Math.ceil(waitMs / 1_000), 1)),
      },
    })
  }

  const finish = (ctx: Context, decisions: readonly QuotaDecision[]): boolean => {
    if (decisions.some(({ allowed }) => !allowed)) return refuse(ctx, decisions)
    tell(ctx, itemsOf(decisions))
    return true
  }

  /** What is not in this worker may be in another one, or in another gateway. */
  const finishLater = async (ctx: Context, first: readonly QuotaDecision[]): Promise<boolean> => {
    let decisions = first
    for (let tries = 0; tries < PENDING_TRIES_MAX && isPending(decisions); tries += 1) {
      await Promise.all(decisions.map(({ pending }) => pending))
      for (const gate of gates) gate.request.key = gate.keyOf(ctx)
      decisions = host.quota(requests)
    }
    return finish(ctx, decisions)
  }

  return {
    name: 'rate-limit',
    validateConfig: (_, placement) => refuseDisagreement(limits, placement),
    handle(ctx) {
      if (only !== undefined && gates.length === 1) {
        only.request.key = only.keyOf(ctx)
        const decision = host.quota(only.request)
        if (decision.pending !== undefined) return finishLater(ctx, [decision])
        if (!decision.allowed) return refuse(ctx, [decision])
        tell(ctx, itemOf(only, decision))
        return true
      }
      for (const gate of gates) gate.request.key = gate.keyOf(ctx)
      const decisions = host.quota(requests)
      return isPending(decisions) ? finishLater(ctx, decisions) : finish(ctx, decisions)
    },
  }
}

/** Each is one answer of whoever keeps the bucket, between which others may have taken what was there. */
const PENDING_TRIES_MAX = 5

/** Whether an answer that is still out may change anything: where one limit refuses for good, no other one can. */
function isPending(decisions: readonly QuotaDecision[]): boolean {
  return (
    decisions.some(({ pending }) => pending !== undefined) &&
    decisions.every(({ allowed, pending }) => allowed || pending !== undefined)
  )
}

/** The client has done nothing wrong: no 429 (RFC 6585, 4). */
const UNKNOWN = {
  status: 503,
  code: 'LIMITS_UNAVAILABLE',
  detail: 'Whether the limit allows the request cannot be told now.',
} as const

/** Registered by draft-ietf-httpapi-ratelimit-headers. */
const PROBLEM_TYPE = 'https://iana.org/assignments/http-problem-types#quota-exceeded'

/** RFC 9457. */
function problemText(ctx: Context, violated: readonly Gate[]): string {
  const problem = {
    type: PROBLEM_TYPE,
    title: 'Too Many Requests',
    status: 429,
    code: 'RATE_LIMITED',
    detail: 'There were more requests than the limit allows.',
    'violated-policies': violated.map(({ limit }) => limit.name),
    id: ctx.id,
  }
  return `${JSON.stringify(problem)}\n`
}

/** What is left of one limit, and in how many seconds all of it is there again. */
function itemOf(gate: Gate | undefined, { remaining, resetMs }: QuotaDecision): string {
  return `${gate?.itemStart ?? ''}${remaining};t=${Math.ceil(resetMs / 1_000)}`
}

function gateOf(limit: Limit, config: Config): Gate {
  const { name, burst, windowMs, algorithm, key } = limit
  return {
    limit,
    keyOf: keyOf(name, key, { ipv4: config.ipv4_prefix, ipv6: config.ipv6_prefix }),
    request: {
      key: '',
      rate: (limit.limit * 1_000) / windowMs,
      burst,
      window: algorithm === 'bucket' ? null : algorithm,
      onFull: config.on_full,
    },
    itemStart: `"${name}";r=`,
  }
}

function policyOf({ name, limit, windowMs }: Limit): string {
  return `"${name}";q=${limit};w=${Math.ceil(windowMs / 1_000)}`
}
