import type { Log } from '@cardea/sdk'
import { GatewayError } from '../../base/errors.ts'
import type { InstancePlan } from '../../protocol/generation.ts'
import type { PluginStateCopy } from '../../protocol/supervisor-worker.ts'
import type { ConfigUpdate, Maker } from '../config-update.ts'
import type { Opened, WorkerServices } from '../services.ts'
import { EventBus, EventUser } from './events.ts'
import { Provision, type ServiceClient } from './provisions.ts'
import { StateUser } from './state-user.ts'
import { StateStore } from './states.ts'

export interface WorkerHubOptions {
  readonly log: Log
  /** What migrations are tried on; see `StateStore.seed`. */
  readonly states?: readonly PluginStateCopy[]
  /** Told what of which instance begins now: each `create` of a state. */
  readonly onStep?: (instance: string, step: string) => void
}

/** What an instance's share needs to know beyond its plan. */
export interface ShareContext {
  readonly log: Log
  /** The shares of what it depends on, by plugin. */
  readonly dependencies: ReadonlyMap<string, WorkerShare>
  mapStack(error: Error): string
  /** See `EventOwner`. */
  failed(what: string, thrown: unknown): void
}

/** What the instances of this process have in common: states, services, events. */
export class WorkerHub {
  readonly #states: StateStore
  readonly #events: EventBus

  constructor({ log, states = [], onStep }: WorkerHubOptions) {
    this.#states = new StateStore(onStep)
    this.#states.seed(states)
    this.#events = new EventBus(log)
  }

  open(plan: InstancePlan, context: ShareContext): WorkerShare {
    return new WorkerShare(plan, context, this.#states, this.#events)
  }

  /** The generation with these goes live in this turn. Never throws; see `StagedInstances.commit`. */
  goLive(shares: readonly WorkerShare[]): readonly GatewayError[] {
    const errors = this.#states.goLive(shares.map(({ states }) => states))
    for (const { events } of shares) events.goLive()
    return errors
  }

  copyStates(plugins: readonly string[]): readonly PluginStateCopy[] {
    return this.#states.copies(plugins)
  }
}

/** One host's part in what the instances have in common. */
export class WorkerShare implements Opened<WorkerServices> {
  readonly services: WorkerServices
  readonly states: StateUser
  readonly events: EventUser
  readonly #provision: Provision
  readonly #dependencies: ReadonlyMap<string, WorkerShare>
  readonly #name: string
  readonly #clients = new Map<string, ServiceClient>()

  constructor(plan: InstancePlan, context: ShareContext, states: StateStore, events: EventBus) {
    const owner = {
      plugin: plan.plugin,
      name: plan.name,
      log: context.log,
      dependencies: new Set(context.dependencies.keys()),
      mapStack: (error: Error) => context.mapStack(error),
      failed: (what: string, thrown: unknown) => context.failed(what, thrown),
    }
    this.#name = plan.name
    this.#dependencies = context.dependencies
    this.states = new StateUser(states, owner)
    this.events = new EventUser(events, owner)
    this.#provision = new Provision(owner)
    this.services = {
      state: (name, version, create) => this.states.state(name, version, create),
      provide: (service) => this.#provision.provide(service),
      use: <Service>(plugin: string) => this.#use(plugin) as Service,
      emit: (event, data) => this.events.emit(event, data),
      on: (event, listener) => this.events.on(event, listener),
    }
  }

  beginUpdate(update: ConfigUpdate, from: Maker): void {
    this.states.beginUpdate(update, from)
  }

  /** What its states and events have from that comes with those of all others; see `WorkerHub.goLive`. */
  goLive(_: InstancePlan, maker: Maker): void {
    this.states.serve(maker)
  }

  ended(maker: Maker): void {
    this.states.ended(maker)
  }

  started(): void {
    this.#provision.seal()
  }

  quiesce(): void {
    this.events.quiesce()
  }

  release(): void {
    this.events.release()
    this.#provision.release()
    this.states.release()
  }

  #use(plugin: string): ServiceClient {
    const known = this.#clients.get(plugin)
    if (known !== undefined) return known
    const dependency = this.#dependencies.get(plugin)
    if (dependency === undefined) {
      throw new GatewayError(
        'PLUGIN_DEPENDENCY_MISSING',
        `Plugin "${this.#name}" cannot use "${plugin}": it is not in dependencies of its plugin.json`,
        { plugin: this.#name },
      )
    }
    const client = dependency.#provision.client()
    this.#clients.set(plugin, client)
    return client
  }
}
