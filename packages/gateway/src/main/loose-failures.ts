import type { Log } from '@cardea/sdk'
import { isInstance, messageOf, stackOf } from '../base/errors.ts'
import type { DataPlane } from '../data-plane/data-plane.ts'
import { RareLines } from '../data-plane/rare-lines.ts'
import type { LooseFailure } from '../plugin-host/loose-failure.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { LiveInstance } from '../protocol/instance.ts'
import { type SearchedCode, throwingCode } from './uncaught.ts'

export interface LooseFailuresOptions {
  readonly log: Log
  readonly dataPlane: DataPlane
  /** The instances that live here. */
  living(): readonly LiveInstance[]
  searched(): SearchedCode
}

interface Unowned {
  readonly what: string
  readonly thrown: unknown
  mapStack(error: Error): string
}

/**
 * What a worker makes of failures of plugins' code that are not a hook's: a timer, a listener, a promise that nobody waits
 * for. They count for the instance like those of its hooks, and are in the log as often: whoever can make one happen with
 * each request must not be able to fill the disk.
 */
export class LooseFailures {
  readonly #options: LooseFailuresOptions
  /** Of what is no instance's that serves. */
  readonly #unowned: RareLines<Unowned>

  constructor(options: LooseFailuresOptions) {
    this.#options = options
    this.#unowned = new RareLines(options.dataPlane.sweeper, ({ what, thrown, mapStack }, count) => {
      const stack = isInstance(thrown, Error) ? mapStack(thrown) : messageOf(thrown)
      options.log.error(`${what}: ${messageOf(thrown)}`, { stack, count })
    })
  }

  /** For `Surroundings.onFailure`. */
  onFailure({ plan, what, thrown, mapStack }: LooseFailure): void {
    const instance = this.#instanceOf(plan)
    const isCounted = instance !== null && this.#options.dataPlane.noteFailure(instance, what, thrown)
    if (!isCounted) this.#unowned.note(`${plan.name} ${what}`, { what, thrown, mapStack })
  }

  /** A promise was rejected and nobody waits for it. That harms its own exchange only; nothing is ended for it. */
  onRejected(thrown: unknown): void {
    const { instances = [] } = throwingCode(thrown, this.#options.searched()) ?? {}
    // Which of them it was nobody knows. It may have been one that is stopped by now: a failure that is counted costs little.
    const counted = instances.filter(({ plan }) => this.#noteRejected(plan, thrown))
    if (counted.length > 0) return
    const mapStack = instances[0]?.mapStack ?? stackOf
    this.#unowned.note(REJECTED, { what: REJECTED, thrown, mapStack })
  }

  #noteRejected(plan: InstancePlan, thrown: unknown): boolean {
    const instance = this.#instanceOf(plan)
    const what = `A promise was rejected in plugin "${plan.name}" and nobody waited for it`
    return instance !== null && this.#options.dataPlane.noteFailure(instance, what, thrown)
  }

  /** Of those that share a host the one that lives now. */
  #instanceOf({ key, name, codeHash }: InstancePlan): LiveInstance | null {
    const living = this.#options.living()
    const same = living.find(({ plan }) => plan.key === key)
    return same ?? living.findLast(({ plan }) => plan.name === name && plan.codeHash === codeHash) ?? null
  }

  /** Tells what is still left to tell. */
  report(): void {
    this.#unowned.report()
  }
}

const REJECTED = 'A promise was rejected and nobody waited for it'
