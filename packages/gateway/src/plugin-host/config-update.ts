import { AsyncLocalStorage } from 'node:async_hooks'
import type { InstancePlan } from '../protocol/generation.ts'

/** A call of `updateConfig`, whose instance shares the host of the one that it was called on. */
export interface ConfigUpdate {
  readonly plan: InstancePlan
  /** A generation with what it made has gone live. */
  wentLive: boolean
  /** It failed, or its change did: none will. */
  isGivenUp: boolean
}

/** Whose a middleware is, and what it asks for: that update's, or PluginMain's (null). */
export type Maker = ConfigUpdate | null

const updates = new AsyncLocalStorage<ConfigUpdate>()

/** Runs `call`. Whatever that does or leaves to be done, also once nobody waits for it any more, is known as the update's. */
export function runUpdate<Result>(update: ConfigUpdate, call: () => Result): Result {
  return updates.run(update, call)
}

/**
 * The plan that the code which runs now works for; null unless that is an update which has not gone live. One that was given
 * up, or whose change has failed, may run on for long: what it asks for is not the live instance's, though their host is one.
 */
export function planInUpdate(): InstancePlan | null {
  return updateAtWork()?.plan ?? null
}

/** The same, as the update itself, which tells later whether it has gone live. */
export function updateAtWork(): ConfigUpdate | null {
  const update = updates.getStore()
  return update === undefined || update.wentLive ? null : update
}
