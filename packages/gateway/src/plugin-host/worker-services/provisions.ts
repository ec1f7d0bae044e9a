import type { ServiceFunction } from '@cardea/sdk'
import { GatewayError, messageOf } from '../../base/errors.ts'
import { PLUGIN_LIMITS } from '../../config/limits.ts'

/** Who offers functions: one instance, or several that share a host. */
export interface ProvisionOwner {
  readonly plugin: string
  /** The instance's name. */
  readonly name: string
  mapStack(error: Error): string
}

/** What callers see of a service. */
export type ServiceClient = Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>

/** What one owner offers to those that depend on it, and the calls that have no answer yet. */
export class Provision {
  readonly #owner: ProvisionOwner
  readonly #functions = new Map<string, (...args: unknown[]) => unknown>()
  /** What rejects each of them. */
  readonly #calls = new Set<(reason: Error) => void>()
  #life: 'open' | 'sealed' | 'released' = 'open'

  constructor(owner: ProvisionOwner) {
    this.#owner = owner
  }

  /** See `Host.provide`. Throws TypeError for what is no service, and when PluginMain has returned. */
  provide(service: Readonly<Record<string, ServiceFunction>>): void {
    if (this.#life !== 'open') throw new TypeError('provide() works only while PluginMain runs')
    if (typeof service !== 'object' || service === null || Object.keys(service).length === 0) {
      throw new TypeError('provide() needs an object with at least one function')
    }
    for (const [name, value] of Object.entries(service)) {
      if (typeof value !== 'function') throw new TypeError(`provide(): ${name} is not a function`)
      // An object with `then` would be taken for a promise wherever it is awaited.
      if (name === 'then') throw new TypeError('provide(): a service cannot have a function named then')
      if (this.#functions.has(name)) throw new TypeError(`provide(): ${name} is provided already`)
      this.#functions.set(name, (...args) => Reflect.apply(value, service, args))
    }
  }

  /** PluginMain has returned. */
  seal(): void {
    if (this.#life === 'open') this.#life = 'sealed'
  }

  /** Made anew for each caller: one could else leave its marks on it for another. */
  client(): ServiceClient {
    if (this.#life === 'released') throw this.#stopped()
    if (this.#functions.size === 0)
      throw this.#unavailable('provides nothing; it calls host.provide in PluginMain')
    const client: Record<string, (...args: unknown[]) => Promise<unknown>> = {}
    for (const [name, run] of this.#functions) client[name] = (...args) => this.#call(name, run, args)
    return Object.freeze(client)
  }

  #call(name: string, run: (...args: unknown[]) => unknown, args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#life === 'released') throw this.#stopped()
      if (this.#calls.size >= PLUGIN_LIMITS.serviceCallsPendingMax) {
        throw this.#unavailable(`has ${this.#calls.size} calls that it has not answered`)
      }
      // Now, not when it is called: what the caller does to its objects afterwards is its own matter.
      const given = structuredClone(args)
      const called = Promise.resolve().then(() => {
        // Rejected by `release` meanwhile.
        return this.#life === 'released' ? undefined : run(...given)
      })
      this.#calls.add(reject)
      called
        .then((result) => resolve(structuredClone(result)))
        .catch((thrown) => reject(this.#errorOf(name, thrown)))
        .finally(() => this.#calls.delete(reject))
    })
  }

  /** As it would come out of another process: the error's name, sentence, code and stack. */
  #errorOf(name: string, thrown: unknown): Error {
    if (!(thrown instanceof Error)) {
      return new Error(`${name} of plugin "${this.#owner.plugin}" threw ${messageOf(thrown)}`)
    }
    const { message, code } = thrown as Error & { readonly code?: unknown }
    const copy = new Error(message)
    copy.name = thrown.name
    copy.stack = this.#owner.mapStack(thrown)
    return typeof code === 'string' ? Object.assign(copy, { code }) : copy
  }

  /** It has stopped: what is not answered by now never will be. */
  release(): void {
    this.#life = 'released'
    for (const reject of this.#calls) reject(this.#stopped())
    this.#calls.clear()
    this.#functions.clear()
  }

  #stopped(): GatewayError {
    return this.#unavailable('has stopped; its service can be used only while the own instance lives')
  }

  #unavailable(reason: string): GatewayError {
    return new GatewayError('SERVICE_UNAVAILABLE', `Plugin "${this.#owner.plugin}" ${reason}`, {
      plugin: this.#owner.name,
    })
  }
}
