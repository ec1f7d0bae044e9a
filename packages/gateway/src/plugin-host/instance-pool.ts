import type { Log } from '@cardea/sdk'
import { GatewayError } from '../base/errors.ts'
import type { BundlePlan, GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import type { LiveInstance, StagedInstances } from '../protocol/instance.ts'
import type { PluginStateCopy } from '../protocol/supervisor-worker.ts'
import { BundleCache } from './bundle-cache.ts'
import { type StartOptions, startInstance } from './instance.ts'
import type { LoadedBundle } from './load.ts'

export interface InstancePoolOptions extends Omit<StartOptions, 'signal'> {
  readonly log: Log
  /** Default: `loadBundle`. */
  readonly load?: (plan: BundlePlan, plugin: string) => LoadedBundle
}

/** An instance that lives here, and how many generations hold it. */
interface Resident {
  readonly key: string
  readonly instance: LiveInstance
  /** Stops it, then lets go of its code. */
  readonly end: () => Promise<void>
  users: number
}

/**
 * The instances that live in this process, one for each `InstancePlan.key`. Generations hold them together: what is
 * equal is carried from one to the next, and what nobody holds any more is stopped.
 */
export class InstancePool {
  readonly #options: InstancePoolOptions
  readonly #bundles: BundleCache
  /** In the order of their starts: dependencies stand before dependents. One that stops is not in here. */
  readonly #residents = new Map<string, Resident>()
  readonly #releasing = new Set<Promise<void>>()
  /** Settles with the stage that runs: two at a time could start one key twice. */
  #staging: Promise<unknown> = Promise.resolve()

  constructor(options: InstancePoolOptions) {
    this.#options = options
    this.#bundles = new BundleCache(options.load)
  }

  /** What is held, for tests and the curious. */
  get size(): { readonly instances: number; readonly bundles: number } {
    return { instances: this.#residents.size, bundles: this.#bundles.size }
  }

  /**
   * Starts the instances of a generation that do not live yet, one after another in the plan's order, and carries the
   * others. Waits for a stage that still runs.
   *
   * Throws what `startInstance` and `loadBundle` throw for the first that fails, or what `signal` was aborted with; by
   * then all that was acquired is released again, in reverse.
   */
  stage(plan: GenerationPlan, signal: AbortSignal | null = null): Promise<StagedInstances> {
    const staged = this.#staging.then(() => this.#stage(plan, signal))
    this.#staging = staged.catch(() => {})
    return staged
  }

  async #stage(plan: GenerationPlan, signal: AbortSignal | null): Promise<StagedInstances> {
    await using undo = new AsyncDisposableStack()
    const bundles = new Map(plan.bundles.map((bundle) => [bundle.codeHash, bundle]))
    const held = new Map<string, Resident>()
    const instances = new Map<number, LiveInstance>()
    const started: string[] = []
    for (const instancePlan of plan.instances) {
      signal?.throwIfAborted()
      const { key } = instancePlan
      let resident = held.get(key)
      if (resident === undefined) {
        const living = this.#residents.get(key)
        resident = living ?? (await this.#start(instancePlan, bundles.get(instancePlan.codeHash), signal))
        if (living === undefined) started.push(instancePlan.name)
        resident.users++
        held.set(key, resident)
        const acquired = resident
        undo.defer(() => this.#release(acquired))
      }
      instances.set(instancePlan.id, resident.instance)
    }
    signal?.throwIfAborted()
    undo.move()
    return this.#hold([...held.values()], instances, started)
  }

  #hold(
    residents: readonly Resident[],
    instances: ReadonlyMap<number, LiveInstance>,
    started: readonly string[],
  ): StagedInstances {
    let released: Promise<void> | null = null
    return {
      instances,
      carried: residents.length - started.length,
      started,
      commit: () => [],
      release: () => {
        released ??= this.#tracked(this.#releaseAll(residents))
        return released
      },
    }
  }

  async #start(
    plan: InstancePlan,
    bundlePlan: BundlePlan | undefined,
    signal: AbortSignal | null,
  ): Promise<Resident> {
    if (bundlePlan === undefined) {
      throw new GatewayError('INTERNAL_ERROR', `The generation has no bundle for "${plan.name}"`)
    }
    this.#options.onStep?.(plan.name, 'load')
    const code = this.#bundles.hold(bundlePlan, plan.plugin)
    try {
      const instance = await startInstance(plan, code.bundle, this.#options.log, { ...this.#options, signal })
      let ending: Promise<void> | null = null
      const end = (): Promise<void> => {
        ending ??= instance.stop().then(code.release)
        return ending
      }
      const resident = { key: plan.key, instance, end, users: 0 }
      this.#residents.set(plan.key, resident)
      return resident
    } catch (thrown) {
      code.release()
      throw thrown
    }
  }

  /** One after the other: what an instance depends on is let go only when the instance itself has stopped. */
  async #releaseAll(residents: readonly Resident[]): Promise<void> {
    for (const resident of residents.toReversed()) await this.#release(resident)
  }

  async #release(resident: Resident): Promise<void> {
    if (--resident.users > 0) return
    this.#residents.delete(resident.key)
    await resident.end()
  }

  #tracked(releasing: Promise<void>): Promise<void> {
    this.#releasing.add(releasing)
    return releasing.finally(() => this.#releasing.delete(releasing))
  }

  /** The `host.state` values of the plugins named, as copies; what cannot be copied or is too large is left out. */
  states(_plugins: readonly string[]): readonly PluginStateCopy[] {
    return []
  }

  /** The stack of an error that came from a plugin, and whose; null when it came from none that lives here. */
  mapStack(error: Error): { readonly plugin: string; readonly stack: string } | null {
    for (const { instance } of this.#residents.values()) {
      const stack = instance.mapStack(error)
      if (stack !== error.stack) return { plugin: instance.plan.name, stack }
    }
    return null
  }

  /** Stops whatever still lives, in reverse order, held or not: the process ends. Never rejects. */
  async close(): Promise<void> {
    await this.#staging
    await Promise.all(this.#releasing)
    for (const resident of [...this.#residents.values()].toReversed()) {
      this.#residents.delete(resident.key)
      await resident.end()
    }
  }
}
