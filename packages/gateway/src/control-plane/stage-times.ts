import type { StageTiming } from '../protocol/control.ts'

/** Takes the time of each stage. */
export class StageTimes {
  readonly #startedAt: number
  readonly #timings: StageTiming[] = []
  #lastAt: number

  constructor(startedAt: number) {
    this.#startedAt = startedAt
    this.#lastAt = startedAt
  }

  passed(stageName: string): void {
    const now = performance.now()
    this.#timings.push({ stage: stageName, ms: roundedMs(now - this.#lastAt) })
    this.#lastAt = now
  }

  get timings(): readonly StageTiming[] {
    return [...this.#timings, { stage: 'total', ms: roundedMs(this.#lastAt - this.#startedAt) }]
  }
}

/** As precise as times of a change are told. */
export function roundedMs(ms: number): number {
  return Math.round(ms * 10) / 10
}
