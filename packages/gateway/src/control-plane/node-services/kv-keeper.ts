import { join } from 'node:path'
import type { Log } from '@cardea/sdk'
import { messageOf } from '../../base/errors.ts'
import type { NodeClock } from '../../base/node-clock.ts'
import { KV_LIMITS } from '../../config/limits.ts'
import type { KvOperation, KvResult } from '../../protocol/node-services.ts'
import { KvStore } from './kv-store.ts'

export interface KvKeeperOptions {
  /** The `.cardea` folder, absolute. Null: nothing is kept on disk. */
  readonly directory: string | null
  readonly log: Log
  readonly clock: NodeClock
  /** Unix time in milliseconds. */
  readonly unixMs: (() => number) | undefined
}

/** After a failure to open the store, or to put it back, it is not tried again sooner. */
const RETRY_DELAY_MS = 1_000

/**
 * Keeps the store of `host.kv` open from the first use on, and at its place: SQLite goes on with a file that was deleted, and
 * what it writes there is lost when the process ends.
 */
export class KvKeeper {
  readonly #options: KvKeeperOptions
  readonly #file: string | null
  #store: Promise<KvStore> | null = null
  /** When opening it is worth another try. */
  #reopenAt = Number.POSITIVE_INFINITY
  /** When putting it back is. */
  #putBackAt = Number.NEGATIVE_INFINITY
  #cancelSweep: (() => void) | null = null
  #hasComplained = false
  #isClosed = false

  constructor(options: KvKeeperOptions) {
    this.#options = options
    this.#file = options.directory === null ? null : join(options.directory, 'kv.db')
  }

  /** Carries out what a plugin asked for. Never rejects: what fails is an answer. */
  async run(plugin: string, operation: KvOperation): Promise<KvResult> {
    try {
      return (await this.#storeInPlace()).run(plugin, operation)
    } catch (thrown) {
      return { kind: 'failed', message: messageOf(thrown), isFull: false }
    }
  }

  /** Puts the file back, if it is gone, where nobody uses it right now. Never rejects. */
  async restore(): Promise<void> {
    if (this.#store !== null) await this.#storeInPlace().catch(() => {})
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelSweep?.()
    const store = await this.#store?.catch(() => null)
    if (store?.whereabouts() === 'gone') this.#putBack(store)
    store?.close()
  }

  /** Looks each time: a value that was set is not to be lost. It takes a few microseconds. */
  async #storeInPlace(): Promise<KvStore> {
    const opening = this.#openStore()
    const store = await opening
    if (this.#isClosed) return store
    // Somebody who waited too has opened another one.
    if (opening !== this.#store) return this.#storeInPlace()
    const whereabouts = store.whereabouts()
    if (whereabouts === 'in place') return store
    if (whereabouts === 'replaced') this.#options.log.warn(replacedText(this.#file))
    else if (this.#options.clock.nowMs() < this.#putBackAt || !this.#putBack(store)) return store
    // Before the other one is opened: both would use the same files beside it.
    store.close()
    this.#store = null
    return this.#openStore()
  }

  /** What cannot be put back is still there to be read, and is put back later. */
  #putBack(store: KvStore): boolean {
    const { log, clock } = this.#options
    const what = `${this.#file}, where host.kv keeps its values, was deleted or moved while the gateway runs`
    try {
      const values = store.putBack()
      const wayOut = 'To begin with an empty store, stop the gateway before you delete it'
      log.warn(
        `${what}. It is made anew, with all that was in it (values: ${values.toLocaleString('en')}). ${wayOut}`,
      )
      this.#hasComplained = false
      return true
    } catch (thrown) {
      this.#putBackAt = clock.nowMs() + RETRY_DELAY_MS
      if (this.#hasComplained) return false
      this.#hasComplained = true
      const loss = 'Unless it can be, the values are lost when the gateway ends; it is tried again and again'
      log.error(`${what}, and cannot be made anew: ${messageOf(thrown)}. ${loss}`, { error: thrown })
      return false
    }
  }

  #openStore(): Promise<KvStore> {
    const { clock, unixMs, log } = this.#options
    if (this.#store !== null && clock.nowMs() < this.#reopenAt) return this.#store
    const store = KvStore.open(this.#file, unixMs)
    this.#store = store
    this.#reopenAt = Number.POSITIVE_INFINITY
    store.then(
      () => this.#startSweep(),
      (thrown) => {
        this.#reopenAt = clock.nowMs() + RETRY_DELAY_MS
        log.error(messageOf(thrown), { error: thrown })
      },
    )
    return store
  }

  #startSweep(): void {
    if (this.#isClosed) return
    this.#cancelSweep?.()
    this.#cancelSweep = this.#options.clock.after(KV_LIMITS.sweepPeriodMs, () => void this.#sweep())
  }

  async #sweep(): Promise<void> {
    const { clock, log } = this.#options
    // What cannot be opened is swept again once it is.
    const store = await this.#storeInPlace().catch(() => null)
    if (store === null || this.#isClosed) return
    try {
      // The rest has its turn right after what waits now.
      if (store.sweep() >= KV_LIMITS.sweepRowsMax) {
        clock.atTurnEnd(() => void this.#sweep())
        return
      }
    } catch (thrown) {
      log.error(`Cannot delete what has expired from host.kv: ${messageOf(thrown)}`)
    }
    this.#startSweep()
  }
}

function replacedText(file: string | null): string {
  const loss = 'What was only in the one before is not in it'
  return `Another file was put in the place of ${file} while the gateway runs; host.kv uses that one now. ${loss}. Replace it while the gateway is stopped`
}
