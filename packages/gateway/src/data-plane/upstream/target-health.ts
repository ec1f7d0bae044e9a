/** What a worker knows of one target of an upstream. It outlives pools: a change of settings mends no target. */
export class TargetHealth {
  /** In a row. */
  #failures = 0
  #ejectedUntilMs = 0

  isEjected(nowMs: number): boolean {
    return this.#ejectedUntilMs > 0 && nowMs < this.#ejectedUntilMs
  }

  /** The target answered: what failed before does not count any more. */
  noteSuccess(): void {
    this.#failures = 0
  }

  /** `failuresMax` of them in a row take the target out for `ejectMs`; 0: never. */
  noteFailure(nowMs: number, failuresMax: number, ejectMs: number): void {
    if (failuresMax === 0 || ++this.#failures < failuresMax) return
    this.#failures = 0
    this.#ejectedUntilMs = nowMs + ejectMs
  }
}
