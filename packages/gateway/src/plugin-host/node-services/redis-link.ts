import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { messageOf } from '../../base/errors.ts'
import { windowMsOf } from '../../base/spent-tokens.ts'
import { QUOTA_LIMITS, REDIS_LIMITS } from '../../config/quota-limits.ts'
import { QUOTA_SCRIPT, QUOTA_SCRIPT_SHA } from './quota-script.ts'
import type { SharedQuotaAsk, SharedQuotaNote } from './shared-lease.ts'

/**
 * A worker's connection to the Redis that limits of several nodes are kept in. Its own, not the supervisor's: that one may be
 * started anew or busy with a change at any time, which is no reason to limit by anything but what is in Redis.
 */
export class RedisLink {
  readonly url: string
  /** Resolves when it is there, or could not be reached the first time. */
  readonly settled: Promise<void>
  readonly #onChange: (link: RedisLink) => void
  #redis: Redis | null = null
  #isClosed = false
  #isThere: boolean | null = null
  #reason = ''
  /** What answered last was a replica: that it can be reached says nothing. */
  #isReadOnly = false
  readonly #first: PromiseWithResolvers<void> = Promise.withResolvers()
  #unanswered = 0
  /** Somebody waits for `#unanswered` to be 0. */
  #allAnswered: PromiseWithResolvers<void> | null = null

  constructor(url: string, onChange: (link: RedisLink) => void) {
    this.url = url
    this.#onChange = onChange
    this.settled = this.#open()
  }

  /** Null: nothing is known yet. */
  get isThere(): boolean | null {
    return this.#isThere
  }

  /** Why it is not there. */
  get reason(): string {
    return this.#reason
  }

  /**
   * One round trip for all of them. Rejects when there is no connection, or it breaks: what was granted then is lost. Also
   * when it is closed meanwhile: what was granted then is given back.
   */
  async ask(asks: readonly SharedQuotaAsk[]): Promise<readonly SharedQuotaNote[]> {
    this.#unanswered++
    try {
      return await this.#step(asks)
    } catch (thrown) {
      this.#fail(thrown)
      // Before Redis 7 it stands inside the words about the script.
      if (/\bREADONLY\b/.test(messageOf(thrown))) this.#leaveReplica()
      throw thrown
    } finally {
      if (--this.#unanswered === 0) this.#allAnswered?.resolve()
    }
  }

  async #step(asks: readonly SharedQuotaAsk[]): Promise<readonly SharedQuotaNote[]> {
    const redis = this.#redis
    if (redis?.status !== 'ready') throw new Error(this.#reason || 'there is no connection')
    const results = await Promise.allSettled(asks.map((ask) => step(redis, ask)))
    if (this.#isClosed) {
      await Promise.all(unusedOf(asks, results).map((unused) => step(redis, unused)))
      throw new Error('it has been left')
    }
    const notes = results.map(noteOf)
    this.#isReadOnly = false
    this.#note(true)
    return notes
  }

  /** What was the primary is one no more, and its name leads to another one by now, or soon: this connection never will. */
  #leaveReplica(): void {
    this.#isReadOnly = true
    if (this.#redis?.status === 'ready') this.#redis.disconnect(true)
  }

  /** What was asked has had no answer for too long. */
  noteSilence(): void {
    this.#note(false, `it did not answer within ${QUOTA_LIMITS.silentMs} ms`)
  }

  /**
   * Resolves when what was sent before has arrived, and what is granted from now on is given back, as far as one may wait for
   * that: whoever asked has left. Never rejects.
   */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#first.resolve()
    const redis = this.#redis
    if (redis?.status === 'ready') {
      const left = this.#leave(redis).catch(() => {})
      await Promise.race([left, delay(REDIS_LIMITS.closeTimeoutMs, undefined, { ref: false })])
    }
    redis?.disconnect()
  }

  async #leave(redis: Redis): Promise<void> {
    if (this.#unanswered > 0) {
      this.#allAnswered = Promise.withResolvers()
      await this.#allAnswered.promise
    }
    await redis.quit()
  }

  async #open(): Promise<void> {
    try {
      // Gateways without a Redis need not load its client.
      const { Redis } = await import('ioredis')
      if (!this.#isClosed) this.#connect(Redis)
    } catch (thrown) {
      this.#note(false, messageOf(thrown))
    }
    await Promise.race([this.#first.promise, delay(REDIS_LIMITS.connectTimeoutMs, undefined, { ref: false })])
    if (this.#isThere === null) this.#note(false, 'it does not answer')
  }

  #connect(Client: typeof Redis): void {
    const redis = new Client(this.url, {
      connectTimeout: REDIS_LIMITS.connectTimeoutMs,
      socketTimeout: REDIS_LIMITS.silentTimeoutMs,
      // What cannot be answered now is answered without Redis, and nothing is said twice.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (attempt) => Math.min(attempt * REDIS_LIMITS.retryStepMs, REDIS_LIMITS.retryMaxMs),
    })
    this.#redis = redis
    redis.on('ready', () => this.#isReadOnly || this.#note(true))
    redis.on('error', (error: Error) => this.#fail(error))
    redis.on('close', () => this.#note(false, 'the connection was closed'))
  }

  #fail(thrown: unknown): void {
    const reason = messageOf(thrown)
    if (this.#isThere === false && isAnswer(thrown)) this.#explain(reason)
    else this.#note(false, reason)
  }

  /** It is away as before, but by now it answers, and says what somebody has to mend: a password that was changed, say. */
  #explain(reason: string): void {
    if (this.#isClosed || this.#reason === reason) return
    this.#reason = reason
    this.#onChange(this)
  }

  #note(isThere: boolean, reason = ''): void {
    if (this.#isClosed || this.#isThere === isThere) return
    this.#isThere = isThere
    this.#reason = reason
    this.#first.resolve()
    this.#onChange(this)
  }
}

/** Whether Redis itself has said so. */
function isAnswer(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === 'ReplyError'
}

/** Gives back all that was granted. */
function unusedOf(
  asks: readonly SharedQuotaAsk[],
  results: readonly PromiseSettledResult<SharedQuotaNote>[],
): SharedQuotaAsk[] {
  return asks.flatMap((ask, at) => {
    const result = results[at]
    if (result?.status !== 'fulfilled' || result.value.tokens === 0) return []
    const { tokens, index } = result.value
    return { ...ask, need: 0, want: 0, returned: tokens, index }
  })
}

function noteOf(result: PromiseSettledResult<SharedQuotaNote>): SharedQuotaNote {
  if (result.status === 'rejected') throw result.reason
  return result.value
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
