import type { LiveInstance } from '../../protocol/instance.ts'

/** One instance's place in a chain. */
export interface ChainEntry {
  readonly instance: LiveInstance
}

/** The ordered instances of one route, put together once per generation. */
export class Chain {
  readonly entries: readonly ChainEntry[]
  /** Some instance has onFinish: only then is a record made and time taken. */
  readonly wantsRecord: boolean
  /** Some instance has onResponse. */
  readonly hasResponseHooks: boolean
  readonly hasErrorHooks: boolean

  constructor(instances: readonly LiveInstance[]) {
    this.entries = instances.map((instance) => ({ instance }))
    const has = (hook: 'onFinish' | 'onResponse' | 'onError') =>
      instances.some(({ middleware }) => typeof middleware[hook] === 'function')
    this.wantsRecord = has('onFinish')
    this.hasResponseHooks = has('onResponse')
    this.hasErrorHooks = has('onError')
  }

  get length(): number {
    return this.entries.length
  }
}
