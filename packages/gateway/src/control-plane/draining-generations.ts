import type { PluginLifecycle } from './lifecycle.ts'
import type { Workers } from './workers.ts'

/** Generations that get no new exchanges and still run somewhere: their plugins drain, and stop when the last worker is done. */
export class DrainingGenerations {
  readonly #workers: Workers
  readonly #kept: () => readonly number[]
  readonly #lifecycles = new Map<number, PluginLifecycle>()

  /** `kept`: the numbers of all generations that there may still be something of. */
  constructor(workers: Workers, kept: () => readonly number[]) {
    this.#workers = workers
    this.#kept = kept
  }

  /** Of all that run somewhere, those too that were replaced before this supervisor was there. */
  get numbers(): ReadonlySet<number> {
    return new Set(this.#kept().filter((number) => !this.#workers.haveRetired(number)))
  }

  add(generation: number, lifecycle: PluginLifecycle): void {
    lifecycle.draining()
    this.#lifecycles.set(generation, lifecycle)
    this.check()
  }

  /** To be called whenever a worker has retired something, or has ended. */
  check(): void {
    for (const [generation, lifecycle] of this.#lifecycles) {
      if (!this.#workers.haveRetired(generation)) continue
      this.#lifecycles.delete(generation)
      lifecycle.stopped()
    }
  }
}
