import type { Log } from '@cardea/sdk'
import type { StateSettings } from '../../protocol/generation.ts'
import { RedisLink } from './redis-link.ts'
import type { SharedQuotaAsk, SharedQuotaNote } from './shared-lease.ts'

export interface SharedStateOptions {
  readonly log: Log
  /** It can be reached again: nobody need wait any longer. */
  onBack(): void
}

/** Which Redis a worker shares with other nodes: that of the live generation, and that of the one to come. */
export class SharedState {
  readonly #options: SharedStateOptions
  #live: RedisLink | null = null
  #next: RedisLink | null = null
  #onLoss: StateSettings['onLoss'] = 'local'
  /** What was logged last; null: nothing of this one. */
  #isThere: boolean | null = null
  /** Why it was not there, as it was logged last. */
  #reason = ''
  /** The last that was logged is that one was away, be it this one or the one before. */
  #isWarned = false

  constructor(options: SharedStateOptions) {
    this.#options = options
  }

  /**
   * Connects to what a generation names, before it serves. Resolves when that is there or could not be reached, in which
   * case it is tried again for ever: it is no fault of the generation. Never rejects.
   */
  async prepare(settings: StateSettings | undefined): Promise<void> {
    if (this.#next?.url !== settings?.redis) this.discard()
    if (settings === undefined || settings.redis === this.#live?.url) return
    this.#next ??= this.#open(settings.redis)
    await this.#next.settled
  }

  /** The generation will not serve. */
  discard(): void {
    void this.#next?.close()
    this.#next = null
  }

  isLive(settings: StateSettings | undefined): boolean {
    return settings?.redis === this.#live?.url
  }

  commit(settings: StateSettings | undefined): void {
    if (settings !== undefined) this.#onLoss = settings.onLoss
    const before = this.#live
    if (before?.url !== settings?.redis) {
      void before?.close()
      this.#live = settings === undefined ? null : this.#prepared(settings.redis)
      this.#isThere = null
    }
    this.#isWarned &&= this.#live !== null
    this.discard()
    if (this.#live !== null) this.#tell(this.#live)
  }

  async ask(asks: readonly SharedQuotaAsk[]): Promise<readonly SharedQuotaNote[]> {
    if (this.#live === null) throw new Error('There is no shared state')
    return this.#live.ask(asks)
  }

  noteSilence(): void {
    this.#live?.noteSilence()
  }

  /** When what was said before is said. Never rejects. */
  async close(): Promise<void> {
    this.discard()
    const live = this.#live
    this.#live = null
    await live?.close()
  }

  #prepared(url: string): RedisLink {
    const next = this.#next
    if (next?.url !== url) return this.#open(url)
    this.#next = null
    return next
  }

  #open(url: string): RedisLink {
    return new RedisLink(url, (link) => {
      if (link === this.#live) this.#tell(link)
    })
  }

  #tell({ isThere, reason }: RedisLink): void {
    if (isThere === null || (isThere === this.#isThere && reason === this.#reason)) return
    const { log, onBack } = this.#options
    if (isThere) {
      // Where only warnings are shown, as by `cardea dev`, the last that is said must not be that it is away.
      log[this.#isWarned ? 'warn' : 'info']('Redis is there: limits hold for all gateways that use it')
      if (this.#isThere === false) onBack()
    } else log.warn(`Redis is away, limits follow on_loss (${this.#onLoss}): ${reason}`)
    this.#isThere = isThere
    this.#isWarned = !isThere
    this.#reason = reason
  }
}
