import type { InstancePlan } from '../../protocol/generation.ts'
import type { LiveInstance } from '../../protocol/instance.ts'
import type { InstanceGuard } from './guard.ts'
import { mayBePassedOver } from './hook-failure.ts'

/** An instance and what the generation at hand says of it: one that is carried over may be called by other rules now. */
export interface ChainPlace {
  /** The generation's own; `instance.plan` may be an older one's with an equal key. */
  readonly plan: InstancePlan
  readonly instance: LiveInstance
  /** Shared by all places of the instance, in all generations. */
  readonly guard: InstanceGuard
}

/** One instance's place in a chain. */
export interface ChainEntry extends ChainPlace {
  readonly hasOnResponse: boolean
  /** Its failure may be passed over: then what it changes is kept as it was before. */
  readonly mayBePassedOver: boolean
}

/** The ordered instances of one route, put together once per generation. */
export class Chain {
  readonly entries: readonly ChainEntry[]
  /** Some instance has onFinish: only then is a record made and time taken. */
  readonly wantsRecord: boolean
  readonly hasErrorHooks: boolean
  #traced: Chain | null = null

  /** `isTraced`: somebody outside wants the record, whatever the instances ask for. */
  constructor(places: readonly ChainPlace[], isTraced = false) {
    this.entries = places.map((place) => ({
      ...place,
      hasOnResponse: typeof place.instance.middleware.onResponse === 'function',
      mayBePassedOver: mayBePassedOver(place.plan),
    }))
    const has = (hook: 'onFinish' | 'onError') =>
      places.some(({ instance }) => typeof instance.middleware[hook] === 'function')
    this.wantsRecord = isTraced || has('onFinish')
    this.hasErrorHooks = has('onError')
  }

  /** The same chain for an exchange that is traced. */
  get traced(): Chain {
    this.#traced ??= this.wantsRecord ? this : new Chain(this.entries, true)
    return this.#traced
  }

  get length(): number {
    return this.entries.length
  }
}
