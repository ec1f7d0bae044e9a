import type { Clock } from '../sweeper.ts'

/** How long one call of a hook has waited for bytes of a body: that is not its own time. */
export class BodyWait {
  readonly #clock: Clock
  #readers = 0
  #sinceMs = 0
  #endedMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isOn(): boolean {
    return this.#readers > 0
  }

  /** Of all that have ended. */
  get endedMs(): number {
    return this.#endedMs
  }

  begin(): void {
    if (this.#readers++ === 0) this.#sinceMs = this.#clock.nowMs()
  }

  end(): void {
    if (--this.#readers === 0) this.#endedMs += this.#clock.nowMs() - this.#sinceMs
  }
}
