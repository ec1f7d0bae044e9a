import type { Log, Middleware } from '@cardea/sdk'
import type { GatewayError } from '../base/errors.ts'
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
  /** The line with a caret that the topmost of the plugin's own frames in a mapped stack points to, or null. */
  frameOf(stack: string): string | null
  /** Runs the middleware's `stop` and releases what its host gave it. Never rejects. */
  stop(): Promise<void>
}

/**
 * What one generation holds of the instances of its process: staged → `commit` → `release`, or staged → `release` when
 * it is discarded. Who compiles the generation owns it from then on.
 */
export interface StagedInstances {
  /** By the ids of the generation's plan. */
  readonly instances: ReadonlyMap<number, LiveInstance>
  /**
   * The generation goes live: to be called in the very turn of the pointer swap. Synchronous and never throws; returns
   * what `create` of a `host.state` threw, which then was asked again with null.
   */
  commit(): readonly GatewayError[]
  /**
   * The generation is freed or discarded: stops, in reverse order, what no other one holds. Resolves when that is done;
   * never rejects. Further calls return the same promise.
   */
  release(): Promise<void>
}
