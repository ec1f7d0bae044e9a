import { durationMs } from '@cardea/sdk'

/** What config_schema describes, defaults filled in. */
export interface Config {
  readonly limit?: number
  /** Such as "60s". */
  readonly window?: string
  readonly algorithm: Algorithm
  readonly burst?: number
  readonly key: string | readonly string[]
  readonly name?: string
  readonly limits?: readonly LimitConfig[]
  readonly ipv6_prefix: number
  readonly ipv4_prefix: number
  readonly on_full: 'share' | 'refuse'
  readonly headers: boolean
}

export type Algorithm = 'bucket' | 'fixed' | 'sliding'

export interface LimitConfig {
  readonly name: string
  readonly limit: number
  readonly window: string
  readonly algorithm?: Algorithm
  readonly burst?: number
  readonly key?: string | readonly string[]
}

/** One limit with nothing left out. */
export interface Limit {
  readonly name: string
  readonly limit: number
  readonly windowMs: number
  readonly algorithm: Algorithm
  /** Requests at once. */
  readonly burst: number
  readonly key: readonly string[]
}

const WINDOW_MS_MIN = 1_000

/**
 * The limits that the config says, in its order, of the instance of that name. Throws an Error on what the schema cannot
 * refuse.
 */
export function limitsOf(config: Config, instance: string): readonly Limit[] {
  const { limit, window, name, burst } = config
  if (config.limits === undefined) {
    if (limit === undefined || window === undefined) {
      throw new Error('It limits nothing: set `limit` and `window`, or `limits`')
    }
    return [
      limitOf(
        { name: name ?? nameOf(instance), limit, window, ...(burst === undefined ? {} : { burst }) },
        config,
      ),
    ]
  }
  for (const option of ['name', 'limit', 'window', 'burst'] as const) {
    if (config[option] === undefined) continue
    throw new Error(`\`${option}\` stands beside \`limits\`: say it in each of them, or leave \`limits\` out`)
  }
  const names = new Set(config.limits.map((one) => one.name))
  if (names.size < config.limits.length) throw new Error('Two of its `limits` have the same name')
  return config.limits.map((one) => limitOf(one, config))
}

/** Several instances have limits of their own, unless the config gives them one name. */
function nameOf(instance: string): string {
  return instance === 'rate-limit' ? 'default' : instance
}

function limitOf(given: LimitConfig, { algorithm: algorithmAbove, key: keyAbove }: Config): Limit {
  const { name, limit, window, algorithm = algorithmAbove, burst, key = keyAbove } = given
  const windowMs = durationMs(window)
  if (windowMs < WINDOW_MS_MIN) {
    throw new Error(`The window of limit "${name}" is ${window}; use at least ${WINDOW_MS_MIN} ms`)
  }
  if (burst !== undefined && algorithm !== 'bucket') {
    throw new Error(`Limit "${name}" has a burst, which only the algorithm "bucket" knows`)
  }
  return {
    name,
    limit,
    windowMs,
    algorithm,
    burst: burst ?? limit,
    key: partsOf(key),
  }
}

/** Names of header fields are one in any case: two spellings are no two limits, and in one key no two parts. */
function partsOf(key: string | readonly string[]): readonly string[] {
  const parts = typeof key === 'string' ? [key] : key
  return [...new Set(parts.map((part) => part.toLowerCase()))]
}
