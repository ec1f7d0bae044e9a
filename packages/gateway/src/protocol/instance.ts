import type { Log, Middleware } from '@cardea/sdk'
import type { InstancePlan } from './generation.ts'

/**
 * A started plugin instance as the data plane calls it. The plugin host makes it (directly in the worker, or as a
 * proxy to another process) and the data plane never learns which. One that is carried over keeps living in several
 * generations: how it is called (timeout, failure policy) is its place's matter, not its own.
 */
export interface LiveInstance {
  /** The plan it was started from. A later generation may hold another one with an equal `key`. */
  readonly plan: InstancePlan
  readonly middleware: Middleware
  /** Logs with the instance's name. */
  readonly log: Log
  /** Rewrites the stack of what a hook threw so that it points into the plugin's source files. */
  mapStack(error: Error): string
  /** Runs the middleware's `stop` and releases what its host gave it. Never rejects. */
  stop(): Promise<void>
}
