import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '@cardea/sdk'
import type { Redis } from 'ioredis'
import { messageOf } from '../../base/errors.ts'
import { windowMsOf } from '../../base/spent-tokens.ts'
import { REDIS_LIMITS } from '../../config/quota-limits.ts'
import type { StateSettings } from '../../protocol/generation.ts'
import type { NodeAnswer, SharedQuotaAsk, SharedQuotaNote } from '../../protocol/node-services.ts'
import { QUOTA_SCRIPT, QUOTA_SCRIPT_SHA } from './quota-script.ts'

export interface SharedQuotaKeeperOptions {
  readonly log: Log
  send(worker: number, answer: NodeAnswer): void
  /** It can be reached again: workers need not wait any longer. */
  onBack(): void
}

/** The node's connection to the Redis that limits of several nodes are kept in. */
export class SharedQuotaKeeper {
  readonly #options: SharedQuotaKeeperOptions
  #settings: StateSettings | null = null
  #redis: Redis | null = null
  /** Null: nothing is known yet. */
  #isThere: boolean | null = null
  /** Resolves when something is. */
  #first: PromiseWithResolvers<void> = Promise.withResolvers()

  constructor(options: SharedQuotaKeeperOptions) {
    this.#options = options
  }

  get onLoss(): StateSettings['onLoss'] | null {
    return this.#settings?.onLoss ?? null
  }

  /** Connects to what the settings name, and lets go of what they named before. True when workers have to hear of it. */
  configure(settings: StateSettings | null): boolean {
    const before = this.#settings
    this.#settings = settings
    if (before?.redis !== settings?.redis) {
      this.#redis?.disconnect()
      this.#redis = null
      this.#isThere = null
      this.#first.resolve()
      this.#first = Promise.withResolvers()
      if (settings !== null) {
        this.#connect(settings).catch((thrown) => this.#note(false, messageOf(thrown)))
      }
    }
    return before?.redis !== settings?.redis || before?.onLoss !== settings?.onLoss
  }

  async request(worker: number, asks: readonly SharedQuotaAsk[]): Promise<void> {
    try {
      if (this.#isThere === null)
        await Promise.race([this.#first.promise, delay(REDIS_LIMITS.commandTimeoutMs)])
      const redis = this.#redis
      if (redis?.status !== 'ready') throw new Error('there is no connection')
      const notes = await Promise.all(asks.map((ask) => step(redis, ask)))
      this.#note(true, '')
      this.#options.send(worker, { kind: 'shared-quota', notes })
    } catch (thrown) {
      this.#note(false, messageOf(thrown))
      this.#options.send(worker, { kind: 'shared-quota-away' })
    }
  }

  close(): void {
    this.configure(null)
  }

  async #connect(settings: StateSettings): Promise<void> {
    // Gateways without a Redis need not load its client.
    const { Redis } = await import('ioredis')
    // Meanwhile it may be another one that is wanted, or this one again, which has its connection then.
    if (this.#settings?.redis !== settings.redis || this.#redis !== null) return
    const redis = new Redis(settings.redis, {
      connectTimeout: REDIS_LIMITS.connectTimeoutMs,
      commandTimeout: REDIS_LIMITS.commandTimeoutMs,
      // What cannot be answered now is answered without Redis.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (attempt) => Math.min(attempt * REDIS_LIMITS.retryStepMs, REDIS_LIMITS.retryMaxMs),
    })
    this.#redis = redis
    redis.on('ready', () => this.#redis === redis && this.#note(true, ''))
    redis.on('error', (error: Error) => this.#redis === redis && this.#note(false, messageOf(error)))
  }

  #note(isThere: boolean, reason: string): void {
    if (this.#settings === null || this.#isThere === isThere) return
    const { log, onBack } = this.#options
    if (isThere && this.#isThere === false) onBack()
    if (isThere) log.info('Redis is there: limits hold for all gateways that use it')
    else log.warn(`Redis is away, limits follow on_loss (${this.#settings.onLoss}): ${reason}`)
    this.#isThere = isThere
    this.#first.resolve()
  }
}

async function step(redis: Redis, ask: SharedQuotaAsk): Promise<SharedQuotaNote> {
  const { plugin, key, rate, burst, window, returned, index, need, want } = ask
  const length = windowMsOf(rate, burst)
  const name = `cardea:quota:${plugin}:${key}`
  const args = [1, name, rate, burst, window ?? '', length, returned, index, need, want]
  const result = await run(redis, args)
  if (!Array.isArray(result)) throw new Error('Redis answered what the script does not return')
  const [tokens = 0, inWindow = 0, ends = 0, left = 0, next = 0, reset = 0] = result.map(Number)
  return {
    plugin,
    key,
    tokens,
    index: inWindow,
    endsInMs: ends < 0 ? null : ends,
    left,
    nextInMs: next,
    resetInMs: reset,
  }
}

/** A Redis that was started anew does not know the script. */
async function run(redis: Redis, args: readonly (string | number)[]): Promise<unknown> {
  try {
    return await redis.call('EVALSHA', QUOTA_SCRIPT_SHA, ...args)
  } catch (thrown) {
    if (!messageOf(thrown).startsWith('NOSCRIPT')) throw thrown
    return redis.call('EVAL', QUOTA_SCRIPT, ...args)
  }
}
