import type { Cloneable, Log } from '@cardea/sdk'
import { GatewayError } from '../../base/errors.ts'
import { PLUGIN_LIMITS } from '../../config/limits.ts'

/** Who tells and listens: one instance, or several that share a host. */
export interface EventOwner {
  readonly plugin: string
  /** The instance's name. */
  readonly name: string
  readonly log: Log
  /** The plugins it may listen to besides its own. */
  readonly dependencies: ReadonlySet<string>
  /** Told what a listener of it threw; `what` is a sentence without its end. */
  failed(what: string, thrown: unknown): void
}

interface Event {
  /** `PLUGIN/event` */
  readonly name: string
  readonly data: unknown
}

interface Listener {
  readonly user: EventUser
  readonly call: (data: unknown) => unknown
}

/**
 * The events of this process. They are delivered when the current turn has ended, in the order they were told, to who
 * listens then. What a listener tells is delivered in a turn after that, so that two plugins that answer each other for
 * ever do not keep the worker from its traffic.
 */
export class EventBus {
  readonly #listeners = new Map<string, Set<Listener>>()
  readonly #log: Log
  #pending: Event[] = []
  #dropped = 0

  constructor(log: Log) {
    this.#log = log
  }

  tell(event: Event): void {
    if (this.#pending.length >= PLUGIN_LIMITS.eventsPendingMax) {
      this.#dropped++
      return
    }
    this.#pending.push(event)
    if (this.#pending.length === 1) setImmediate(() => this.#deliver())
  }

  add(name: string, listener: Listener): void {
    const known = this.#listeners.get(name)
    if (known === undefined) this.#listeners.set(name, new Set([listener]))
    else known.add(listener)
  }

  remove(name: string, listener: Listener): void {
    const known = this.#listeners.get(name)
    known?.delete(listener)
    if (known?.size === 0) this.#listeners.delete(name)
  }

  #deliver(): void {
    const events = this.#pending
    this.#pending = []
    if (this.#dropped > 0) {
      this.#log.warn(`${this.#dropped} events of plugins were dropped: too many were told in one turn`)
      this.#dropped = 0
    }
    for (const { name, data } of events) {
      for (const { user, call } of this.#listeners.get(name) ?? []) user.hear(name, data, call)
    }
  }
}

/** What one owner tells and listens to. */
export class EventUser {
  readonly #bus: EventBus
  readonly #owner: EventOwner
  readonly #listeners: { readonly name: string; readonly listener: Listener }[] = []
  /** Told before the generation went live: nobody shall learn of what may yet be discarded. */
  #held: Event[] = []
  #dropped = 0
  #life: 'staged' | 'live' | 'quiet' | 'released' = 'staged'

  constructor(bus: EventBus, owner: EventOwner) {
    this.#bus = bus
    this.#owner = owner
  }

  /** See `Host.emit`. Throws a DataCloneError for data that cannot be cloned, whether somebody listens or not. */
  emit(event: string, data?: Cloneable): void {
    if (typeof event !== 'string' || event === '')
      throw new TypeError('An event needs a name that is not empty')
    const told = { name: `${this.#owner.plugin}/${event}`, data: structuredClone(data) }
    if (this.#life === 'released') return
    if (this.#life !== 'staged') this.#bus.tell(told)
    else if (this.#held.length < PLUGIN_LIMITS.eventsHeldMax) this.#held.push(told)
    else this.#dropped++
  }

  /** See `Host.on`. Throws PLUGIN_DEPENDENCY_MISSING for an event of a plugin that it does not depend on. */
  on(event: string, listener: (data: unknown) => unknown): void {
    const { plugin, name, dependencies } = this.#owner
    const source = typeof event === 'string' ? /^([^/]+)\/./s.exec(event)?.[1] : undefined
    if (source === undefined) {
      throw new TypeError(`"${event}" is not the name of an event: PLUGIN/event, such as "${plugin}/changed"`)
    }
    if (typeof listener !== 'function') throw new TypeError(`"${event}" needs a function that listens`)
    if (source !== plugin && !dependencies.has(source)) {
      throw new GatewayError(
        'PLUGIN_DEPENDENCY_MISSING',
        `Plugin "${name}" cannot listen to "${event}": "${source}" is not in dependencies of its plugin.json`,
        { plugin: name },
      )
    }
    if (this.#listeners.length >= PLUGIN_LIMITS.listenersMax) {
      throw new RangeError(
        `Plugin "${name}" has ${this.#listeners.length} listeners; add them once, in PluginMain`,
      )
    }
    if (this.#life === 'quiet' || this.#life === 'released') return
    const added = { user: this, call: listener }
    this.#listeners.push({ name: event, listener: added })
    this.#bus.add(event, added)
  }

  /** Calls a listener of this owner. Never throws. */
  hear(event: string, data: unknown, call: (data: unknown) => unknown): void {
    if (this.#life !== 'live') return
    try {
      const result = call(structuredClone(data))
      if (result instanceof Promise) result.catch((thrown) => this.#failed(event, thrown))
    } catch (thrown) {
      this.#failed(event, thrown)
    }
  }

  #failed(event: string, thrown: unknown): void {
    this.#owner.failed(`A listener of "${this.#owner.name}" to "${event}" failed`, thrown)
  }

  goLive(): void {
    if (this.#life !== 'staged') return
    this.#life = 'live'
    for (const event of this.#held) this.#bus.tell(event)
    this.#held = []
    if (this.#dropped === 0) return
    const { name, log } = this.#owner
    log.warn(`${this.#dropped} events of "${name}" were dropped: too many were told before it was live`)
  }

  /** Nothing is delivered any more; what is told in `stop` still is. */
  quiesce(): void {
    if (this.#life === 'released') return
    this.#life = this.#life === 'staged' ? 'released' : 'quiet'
    this.#held = []
    for (const { name, listener } of this.#listeners) this.#bus.remove(name, listener)
    this.#listeners.length = 0
  }

  release(): void {
    this.quiesce()
    this.#life = 'released'
  }
}
