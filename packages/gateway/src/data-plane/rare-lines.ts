import type { Sweeper, Swept } from './sweeper.ts'

const SAID_AGAIN_AFTER_MS = 10_000

interface Told<Item> {
  latest: Item
  /** Since the last line. */
  count: number
  quietUntilMs: number
}

/**
 * For lines of the log about what a client, or an upstream that is down, can bring about as often as there are requests:
 * they must not be able to fill the disk. Of each kind there is one line in ten seconds at most, the first at once, with
 * the latest and how many there were.
 */
export class RareLines<Item> implements Swept {
  sweepIndex = -1
  readonly #sweeper: Sweeper
  readonly #write: (latest: Item, count: number) => void
  readonly #told = new Map<string, Told<Item>>()

  /** `write` gets what one line is to say: the latest, and how many there were since the last line. */
  constructor(sweeper: Sweeper, write: (latest: Item, count: number) => void) {
    this.#sweeper = sweeper
    this.#write = write
    sweeper.add(this)
  }

  note(kind: string, item: Item): void {
    const told = this.#told.get(kind)
    if (told === undefined) {
      const quietUntilMs = this.#sweeper.nowMs + SAID_AGAIN_AFTER_MS
      this.#told.set(kind, { latest: item, count: 0, quietUntilMs })
      this.#write(item, 1)
      return
    }
    told.latest = item
    told.count++
    if (this.#sweeper.nowMs >= told.quietUntilMs) this.#tell(told)
  }

  #tell(told: Told<Item>): void {
    const { latest, count } = told
    told.count = 0
    told.quietUntilMs = this.#sweeper.nowMs + SAID_AGAIN_AFTER_MS
    this.#write(latest, count)
  }

  sweep(nowMs: number): void {
    for (const [kind, told] of this.#told) {
      if (nowMs < told.quietUntilMs) continue
      if (told.count > 0) this.#tell(told)
      // Names of upstreams come and go with the config.
      else this.#told.delete(kind)
    }
  }

  /** Tells what is still left to tell. */
  report(): void {
    for (const told of this.#told.values()) if (told.count > 0) this.#tell(told)
  }
}
