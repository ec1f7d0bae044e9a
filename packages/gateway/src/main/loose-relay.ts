import type { FaultEvent } from '../protocol/faults.ts'
import type { MasterToSupervisor } from '../protocol/master-supervisor.ts'
import type { WorkerToSupervisor } from '../protocol/supervisor-worker.ts'

type Failures = Extract<FaultEvent, { readonly kind: 'failures' }>

/**
 * What workers tell the supervisor time and again and no change waits for: traces, and failures that are counted. While it does
 * not read, the master keeps only how many traces that were, and the sums of the failures.
 */
export class LooseRelay {
  readonly #offer: (message: MasterToSupervisor) => boolean
  #skippedTraces = 0
  /** Which worker's is told is of no importance. */
  #skippedOf = 0
  readonly #failures = new Map<string, { readonly worker: number; readonly event: Failures }>()

  /** `offer` says whether the supervisor is to get it. */
  constructor(offer: (message: MasterToSupervisor) => boolean) {
    this.#offer = offer
  }

  /** False: the message is none of these, and must not be lost. */
  relay(worker: number, message: WorkerToSupervisor): boolean {
    const isTaken = (): boolean => this.#offer({ kind: 'relay', worker, message })
    if (message.kind === 'trace') {
      if (!isTaken()) this.#skip(worker, 1)
    } else if (message.kind === 'skipped') {
      if (!isTaken()) this.#skip(worker, message.traces)
    } else if (message.kind === 'fault' && message.event.kind === 'failures') {
      if (!isTaken()) this.#add(worker, message.event)
    } else return false
    return true
  }

  #skip(worker: number, traces: number): void {
    this.#skippedTraces += traces
    this.#skippedOf = worker
  }

  #add(worker: number, event: Failures): void {
    const id = `${worker} ${event.key}`
    const before = this.#failures.get(id)?.event.count ?? 0
    this.#failures.set(id, { worker, event: { ...event, count: before + event.count } })
  }

  /** The supervisor reads again. */
  onRoom(): void {
    for (const [id, { worker, event }] of this.#failures) {
      if (!this.#offer({ kind: 'relay', worker, message: { kind: 'fault', event } })) return
      this.#failures.delete(id)
    }
    if (this.#skippedTraces === 0) return
    const message = { kind: 'skipped', traces: this.#skippedTraces } as const
    if (this.#offer({ kind: 'relay', worker: this.#skippedOf, message })) this.#skippedTraces = 0
  }

  /** There is another supervisor, whom nothing of it concerns. */
  reset(): void {
    this.#failures.clear()
    this.forgetTraces()
  }

  /** Others watch from now on, or nobody does. */
  forgetTraces(): void {
    this.#skippedTraces = 0
  }
}
