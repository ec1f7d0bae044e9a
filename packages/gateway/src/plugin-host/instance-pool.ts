import type { Log } from '@cardea/sdk'
import { GatewayError } from '../base/errors.ts'
import { nextTurn } from '../base/next-turn.ts'
import type { BundlePlan, GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import type { LiveInstance, StagedInstances } from '../protocol/instance.ts'
import { familyKey } from '../protocol/instance-family.ts'
import { neighboursIn } from '../protocol/neighbours.ts'
import { type SlimPlan, wholePlan } from '../protocol/slim-plan.ts'
import type { PluginStateCopy } from '../protocol/supervisor-worker.ts'
import { BundleCache } from './bundle-cache.ts'
import { type Surroundings, SYSTEM } from './host.ts'
import { type StartedInstance, type StartOptions, startInstance } from './instance.ts'
import type { LoadedBundle } from './load.ts'
import { Neighbours } from './neighbours.ts'
import { standInFor } from './stand-in.ts'
import { WorkerHub, type WorkerShare } from './worker-services/worker-hub.ts'

export interface InstancePoolOptions extends Omit<StartOptions, 'signal' | 'surroundings'> {
  readonly log: Log
  /** For the instances' hosts. Default: the real ones. States, services and events are the pool's own. */
  readonly surroundings?: Omit<Surroundings, 'worker'>
  /** Default: `loadBundle`. */
  readonly load?: (plan: BundlePlan, plugin: string) => LoadedBundle
  /** States that live from the start: what a trial tries migrations on. */
  readonly states?: readonly PluginStateCopy[]
}

/** An instance that lives here, and how many generations hold it. */
interface Resident {
  readonly key: string
  /** Equal for plans that differ in the config alone. */
  readonly family: string
  readonly instance: StartedInstance
  readonly share: WorkerShare
  /** Stops it, then lets go of its code. */
  readonly end: () => Promise<void>
  users: number
}

/** A generation on its way to be staged. */
interface Staging {
  readonly plan: GenerationPlan
  readonly signal: AbortSignal | null
  readonly bundles: ReadonlyMap<string, BundlePlan>
  readonly plansById: ReadonlyMap<number, InstancePlan>
  readonly keys: ReadonlySet<string>
  readonly neighbours: Neighbours
  /** What it holds so far, by key. */
  readonly held: Map<string, Resident>
  /** What `updateConfig` was called on. */
  readonly updated: Set<Resident>
  readonly undo: AsyncDisposableStack
}

const STOPPED_KEPT_MAX = 50

/**
 * The instances that live in this process, one for each `InstancePlan.key`. Generations hold them together: what is
 * equal is carried from one to the next, and what nobody holds any more is stopped.
 */
export class InstancePool {
  readonly #options: InstancePoolOptions
  readonly #surroundings: Omit<Surroundings, 'worker'>
  readonly #bundles: BundleCache
  readonly #hub: WorkerHub
  /** See `stopped`; the one that was stopped last comes last. */
  readonly #stopped = new Set<string>()
  /** In the order of their starts: dependencies stand before dependents. One that stops is not in here. */
  readonly #residents = new Map<string, Resident>()
  readonly #releasing = new Set<Promise<void>>()
  /** Those of the generation that went live last, in the plan's order. */
  #live: readonly Resident[] = []
  /** Keys that no generation which went live has called quarantined yet; see `quarantine`. */
  readonly #quarantined = new Set<string>()
  /** Settles with the stage that runs: two at a time could start one key twice. */
  #staging: Promise<unknown> = Promise.resolve()

  constructor(options: InstancePoolOptions) {
    this.#options = options
    this.#surroundings = options.surroundings ?? SYSTEM
    this.#bundles = new BundleCache(options.load)
    this.#hub = new WorkerHub(options)
  }

  /** What is held, for tests and the curious. */
  get size(): { readonly instances: number; readonly bundles: number } {
    return { instances: this.#residents.size, bundles: this.#bundles.size }
  }

  /** The plan with the text of what lives here; null when it names a bundle of which nothing does. */
  whole(plan: SlimPlan): GenerationPlan | null {
    return wholePlan(plan, (codeHash) => this.#bundles.planOf(codeHash))
  }

  /**
   * Brings the instances of a generation to life that do not live yet, one after another in the plan's order, and
   * carries the others. Where only the config of a live instance is different, its `updateConfig` makes the new one.
   * Waits for a stage that still runs. `neighbours`: where the plan's instances stand, if it is a part of a generation.
   *
   * Throws what `startInstance` and `loadBundle` throw for the first that fails, or what `signal` was aborted with; by
   * then all that was acquired is released again, in reverse.
   */
  stage(
    plan: GenerationPlan,
    signal: AbortSignal | null = null,
    neighbours: Neighbours = neighboursOf(plan),
  ): Promise<StagedInstances> {
    const staged = this.#staging.then(() => this.#stage(plan, signal, neighbours))
    this.#staging = staged.catch(() => {})
    return staged
  }

  async #stage(
    plan: GenerationPlan,
    signal: AbortSignal | null,
    neighbours: Neighbours,
  ): Promise<StagedInstances> {
    await using undo = new AsyncDisposableStack()
    const staging = stagingOf(plan, signal, neighbours, undo)
    const instances = new Map<number, LiveInstance>()
    for (const instancePlan of plan.instances) {
      signal?.throwIfAborted()
      const { key, id } = instancePlan
      let resident = staging.held.get(key)
      if (resident === undefined) {
        const living = this.#residents.get(key) ?? this.#standIn(instancePlan)
        resident = living ?? (await this.#make(instancePlan, staging))
        this.#acquire(resident, undo)
        staging.held.set(key, resident)
      }
      instances.set(id, resident.instance)
    }
    signal?.throwIfAborted()
    undo.move()
    const quarantined = plan.instances.filter(({ quarantined }) => quarantined).map(({ key }) => key)
    return this.#holdings([...staging.held.values()], instances, quarantined)
  }

  #acquire(resident: Resident, undo: AsyncDisposableStack): void {
    resident.users++
    undo.defer(() => this.#release(resident))
  }

  /** `quarantined`: keys of those that the generation says are. */
  #holdings(
    residents: readonly Resident[],
    instances: ReadonlyMap<number, LiveInstance>,
    quarantined: readonly string[],
  ): StagedInstances {
    let released: Promise<void> | null = null
    return {
      instances,
      commit: () => {
        for (const { instance } of this.#live) instance.retire()
        const idle = new Set([...this.#quarantined, ...quarantined])
        for (const { key, instance } of residents) if (!idle.has(key)) instance.goLive()
        for (const key of quarantined) this.#quarantined.delete(key)
        this.#live = residents
        return this.#hub.goLive([...new Set(residents.map(({ share }) => share))])
      },
      release: () => {
        released ??= this.#tracked(this.#releaseAll(residents))
        return released
      },
    }
  }

  /**
   * The instance with this key has no task and no say in the services of the node from now on. A generation that says so too
   * is to follow; what comes after it is believed when it says otherwise.
   */
  quarantine(key: string): void {
    this.#quarantined.add(key)
    this.#live.find((resident) => resident.key === key)?.instance.retire()
  }

  /** For an instance that is quarantined and does not live here: it is not started. Null for others. */
  #standIn(plan: InstancePlan): Resident | null {
    if (!plan.quarantined) return null
    // Not its own key: when it is released from quarantine it is started.
    const key = `quarantined ${plan.key}`
    const present = this.#residents.get(key)
    if (present !== undefined) return present
    const instance = standInFor(plan, this.#options.log)
    const { log, mapStack } = instance
    const context = { log, dependencies: new Map(), mapStack, failed() {} }
    const share = this.#hub.open(plan, context)
    const end = async (): Promise<void> => share.release()
    const resident = { key, family: key, instance, share, end, users: 0 }
    this.#residents.set(key, resident)
    return resident
  }

  async #make(plan: InstancePlan, staging: Staging): Promise<Resident> {
    const bundlePlan = staging.bundles.get(plan.codeHash)
    if (bundlePlan === undefined) {
      throw new GatewayError('INTERNAL_ERROR', `The generation has no bundle for "${plan.name}"`)
    }
    this.#options.onStep?.(plan.name, 'load')
    const code = this.#bundles.hold(bundlePlan, plan.name)
    try {
      // Whoever else has work in this process goes first: to load and to start are the longest steps.
      await nextTurn()
      staging.signal?.throwIfAborted()
      const family = familyKey(plan, (id) => staging.plansById.get(id)?.key)
      const old = this.#updatable(family, staging)
      const made =
        old === null ? await this.#start(plan, code.bundle, staging) : await this.#update(old, plan, staging)
      const end = endOf(made.instance, code.release)
      const resident = { key: plan.key, family, ...made, end, users: 0 }
      this.#residents.set(plan.key, resident)
      return resident
    } catch (thrown) {
      code.release()
      throw thrown
    }
  }

  async #start(
    plan: InstancePlan,
    bundle: LoadedBundle,
    { plansById, held, signal, neighbours }: Staging,
  ): Promise<Pick<Resident, 'instance' | 'share'>> {
    const dependencies = new Map<string, WorkerShare>()
    for (const id of plan.dependencies) {
      const dependency = plansById.get(id)
      const resident = dependency === undefined ? undefined : held.get(dependency.key)
      if (dependency === undefined || resident === undefined) {
        throw new GatewayError('INTERNAL_ERROR', `"${plan.name}" stands before what it depends on`)
      }
      dependencies.set(dependency.plugin, resident.share)
    }
    const { promise: opened, resolve } = Promise.withResolvers<WorkerShare>()
    const worker: Surroundings['worker'] = {
      open: (_, log) => {
        const { mapStack } = bundle
        const failed = (what: string, thrown: unknown): void =>
          this.#surroundings.onFailure({ plan, what, thrown, log, mapStack })
        const share = this.#hub.open(plan, { log, dependencies, mapStack, failed })
        resolve(share)
        return share
      },
    }
    const surroundings = { ...this.#surroundings, worker }
    const placement = () => neighbours.placementOf(plan)
    const options = { ...this.#options, surroundings, signal, placement }
    const instance = await startInstance(plan, bundle, this.#options.log, options)
    return { instance, share: await opened }
  }

  /**
   * The live instance whose `updateConfig` can make the one that is wanted. One that goes on living is left alone, and
   * so is one that made another already: an instance has one successor.
   */
  #updatable(family: string, { keys, updated }: Staging): Resident | null {
    const found = this.#live.find(
      (resident) =>
        resident.family === family &&
        resident.instance.canUpdate &&
        !keys.has(resident.key) &&
        !updated.has(resident) &&
        this.#residents.get(resident.key) === resident,
    )
    return found ?? null
  }

  async #update(
    old: Resident,
    plan: InstancePlan,
    { updated, signal, neighbours }: Staging,
  ): Promise<Pick<Resident, 'instance' | 'share'>> {
    updated.add(old)
    // Its generation could be freed meanwhile.
    old.users++
    try {
      const placement = () => neighbours.placementOf(plan)
      return { instance: await old.instance.update(plan, { signal, placement }), share: old.share }
    } finally {
      await this.#release(old)
    }
  }

  /** One after the other: what an instance depends on is let go only when the instance itself has stopped. */
  async #releaseAll(residents: readonly Resident[]): Promise<void> {
    for (const resident of residents.toReversed()) await this.#release(resident)
  }

  async #release(resident: Resident): Promise<void> {
    if (--resident.users > 0) return
    if (this.#residents.get(resident.key) === resident) this.#residents.delete(resident.key)
    this.#noteStopped(resident.instance.plan.codeHash)
    await resident.end()
  }

  #noteStopped(codeHash: string): void {
    this.#stopped.delete(codeHash)
    this.#stopped.add(codeHash)
    const [oldest] = this.#stopped
    if (this.#stopped.size > STOPPED_KEPT_MAX && oldest !== undefined) this.#stopped.delete(oldest)
  }

  /** Hashes of code of which an instance was stopped here, of late: what it left running may still throw. */
  get stopped(): ReadonlySet<string> {
    return this.#stopped
  }

  #tracked(releasing: Promise<void>): Promise<void> {
    this.#releasing.add(releasing)
    return releasing.finally(() => this.#releasing.delete(releasing))
  }

  /** The `host.state` values of the plugins named, as copies; what cannot be copied or is too large is left out. */
  states(plugins: readonly string[]): readonly PluginStateCopy[] {
    return this.#hub.copyStates(plugins)
  }

  /** Those that live here, in the order of their starts; none that has a stand-in. */
  get living(): readonly StartedInstance[] {
    const residents = [...this.#residents.values()]
    return residents.filter(({ key, instance }) => key === instance.plan.key).map(({ instance }) => instance)
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

/**
 * In a function of its own: as a closure of `#make` it would keep the staging that the instance was made in, with all
 * that was held then, each with a staging before: a chain of every generation, as long as one is always carried.
 */
function endOf(instance: StartedInstance, releaseCode: () => void): Resident['end'] {
  let ending: Promise<void> | null = null
  return () => {
    ending ??= instance.stop().then(releaseCode)
    return ending
  }
}

function neighboursOf(plan: GenerationPlan): Neighbours {
  return new Neighbours(() => neighboursIn(plan, new Set(plan.instances.map(({ plugin }) => plugin))))
}

function stagingOf(
  plan: GenerationPlan,
  signal: AbortSignal | null,
  neighbours: Neighbours,
  undo: AsyncDisposableStack,
): Staging {
  return {
    plan,
    signal,
    bundles: new Map(plan.bundles.map((bundle) => [bundle.codeHash, bundle])),
    plansById: new Map(plan.instances.map((instance) => [instance.id, instance])),
    keys: new Set(plan.instances.map(({ key }) => key)),
    neighbours,
    held: new Map(),
    updated: new Set(),
    undo,
  }
}
