import type { Host, Log } from '@cardea/sdk'
import { GatewayError } from '../base/errors.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { ConfigUpdate, Maker } from './config-update.ts'

/** What a host offers beyond itself: shared by the workers of the node, or by the instances of this worker. */
export type NodeServices = Pick<Host, 'kv' | 'quota' | 'sink' | 'once'>
export type WorkerServices = Pick<Host, 'state' | 'provide' | 'use' | 'emit' | 'on'>

/** One instance's share of the services, by the steps of its life. */
export interface Opened<Services> {
  readonly services: Services
  /** PluginMain has returned. */
  started?(): void
  /**
   * `updateConfig` of the middleware that is `from`'s runs between these two: what is asked for meanwhile is for the
   * instance of the update's plan, which may never go live.
   */
  beginUpdate?(update: ConfigUpdate, from: Maker): void
  endUpdate?(): void
  /**
   * A generation with the instance goes live, in the turn of the pointer swap: also one that carries it. `plan`: the one
   * that it was opened or updated with, of the instances that share a host; `maker`: whose its middleware is. Never throws.
   */
  goLive?(plan: InstancePlan, maker: Maker): void
  /** What was that one's has stopped, or will not be: others that share the host are left. Safe to call again. */
  ended?(maker: Maker): void
  /** Another generation goes live that has it no more; exchanges may still run on it. Never throws. */
  retire?(): void
  /** The instance begins to stop: nothing is delivered to it any more. Safe to call again. */
  quiesce?(): void
  /** Gives back what it holds. Safe to call again. */
  release(): void
}

/** Makes each instance its share. One per process (or per test). */
export interface ServiceSource<Services> {
  open(plan: InstancePlan, log: Log): Opened<Services>
}

/** For processes that have no such services. */
export function unavailable(what: string): never {
  throw new GatewayError('INTERNAL_ERROR', `host.${what} is not available in this process`)
}

export const NO_NODE_SERVICES: ServiceSource<NodeServices> = {
  open: () => ({
    services: {
      kv: {
        get: async () => unavailable('kv'),
        set: async () => unavailable('kv'),
        delete: async () => unavailable('kv'),
        list: async () => unavailable('kv'),
      },
      quota: () => unavailable('quota'),
      sink: () => unavailable('sink'),
      once: () => unavailable('once'),
    },
    release() {},
  }),
}

export const NO_WORKER_SERVICES: ServiceSource<WorkerServices> = {
  open: () => ({
    services: {
      state: () => unavailable('state'),
      provide: () => unavailable('provide'),
      use: () => unavailable('use'),
      emit: () => unavailable('emit'),
      on: () => unavailable('on'),
    },
    release() {},
  }),
}
