import type { LiveInstance } from '../../protocol/instance.ts'

/** One instance's place in a chain. */
export interface ChainEntry {
  readonly instance: LiveInstance
  readonly hasOnResponse: boolean
}

/** The ordered instances of one route, put together once per generation. */
export class Chain {
  readonly entries: readonly ChainEntry[]
  /** Some instance has onFinish: only then is a record made and time taken. */
  readonly wantsRecord: boolean
  readonly hasErrorHooks: boolean

  constructor(instances: readonly LiveInstance[]) {
    this.entries = instances.map((instance) => ({
      instance,
      hasOnResponse: typeof instance.middleware.onResponse === 'function',
    }))
    const has = (hook: 'onFinish' | 'onError') =>
      instances.some(({ middleware }) => typeof middleware[hook] === 'function')
    this.wantsRecord = has('onFinish')
    this.hasErrorHooks = has('onError')
  }

  get length(): number {
    return this.entries.length
  }
}
