import type { Host, Log, Middleware, Placement } from '@cardea/sdk'
import { GatewayError, messageOf } from '../base/errors.ts'
import { PLUGIN_LIMITS } from '../config/limits.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { LiveInstance } from '../protocol/instance.ts'
import { type ConfigUpdate, type Maker, runUpdate } from './config-update.ts'
import { deepFreeze } from './deep-freeze.ts'
import { type InstanceHost, openHost, type Surroundings, SYSTEM } from './host.ts'
import { entryPointOf, type LoadedBundle, withMappedStack } from './load.ts'
import { checkedMiddleware } from './middleware-shape.ts'

export interface StartOptions {
  /** For each step of the start. Default `PLUGIN_LIMITS.startTimeoutMs`. */
  readonly startTimeoutMs?: number
  /** For the middleware's `stop`. Default `PLUGIN_LIMITS.stopTimeoutMs`. */
  readonly stopTimeoutMs?: number
  /** For the instance's host. Default: the real ones. */
  readonly surroundings?: Surroundings
  /** What of which instance begins now, for whoever must know whose fault it is when nothing follows. */
  readonly onStep?: (instance: string, step: string) => void
  /** Gives the start up. Default: none. */
  readonly signal?: AbortSignal | null
  /** For `validateConfig`. Default: on no route, and the only instance of its plugin. */
  readonly placement?: () => Placement
}

export type UpdateOptions = Pick<StartOptions, 'signal' | 'placement'>

/** An instance together with what makes others of it. */
export interface StartedInstance extends LiveInstance {
  readonly canUpdate: boolean
  /**
   * Makes the instance of `plan`, which differs in the config alone, by this one's `updateConfig`. The two share a host,
   * which is released when the last of them has stopped. Throws PLUGIN_START_FAILED; this one is as it was then.
   */
  update(plan: InstancePlan, options?: UpdateOptions): Promise<StartedInstance>
  /** A generation that has it goes live, in the turn of the pointer swap. Never throws. */
  goLive(): void
  /** Another one goes live; to be called before those that it has go live, since they may share a host. Never throws. */
  retire(): void
}

/**
 * Brings one instance to life: PluginMain, then validateConfig, then healthCheck, each under the start deadline.
 *
 * Throws PLUGIN_EXPORT_MISSING or PLUGIN_START_FAILED (the cause's stack mapped into the plugin's files); by then
 * everything that was acquired is released, a middleware that exists stopped.
 */
export async function startInstance(
  plan: InstancePlan,
  bundle: LoadedBundle,
  log: Log,
  options: StartOptions = {},
): Promise<StartedInstance> {
  const main = entryPointOf(bundle, plan) as (config: unknown, host: Host) => unknown
  const { signal = null, placement = alone, ...lasting } = options
  return new Family(plan, bundle, log, lasting).start(plan, main, { signal, placement })
}

type Config = Readonly<Record<string, unknown>>

/** Of what a middleware is made, and by whom. */
interface Birth {
  readonly plan: InstancePlan
  readonly maker: Maker
}

/** One host and the middlewares that share it: the first, and those that `updateConfig` made of it. */
class Family {
  readonly #bundle: LoadedBundle
  readonly #log: Log
  readonly #options: StartOptions
  readonly #host: InstanceHost
  /** Those whose `stop` has not begun. */
  readonly #living = new Set<Middleware>()
  /** Those whose `stop` has not ended. */
  readonly #present = new Set<Middleware>()

  constructor(plan: InstancePlan, bundle: LoadedBundle, log: Log, options: StartOptions) {
    this.#bundle = bundle
    this.#log = withFields(log, { plugin: plan.name })
    this.#options = options
    this.#host = openHost(plan, this.#log, bundle.mapStack, options.surroundings ?? SYSTEM)
  }

  start(
    plan: InstancePlan,
    main: (config: unknown, host: Host) => unknown,
    options: UpdateOptions,
  ): Promise<StartedInstance> {
    return this.#bring({ plan, maker: null }, (config) => main(config, this.#host.host), options)
  }

  async #update(
    middleware: Middleware,
    from: Maker,
    plan: InstancePlan,
    options: UpdateOptions,
  ): Promise<StartedInstance> {
    const update: ConfigUpdate = { plan, wentLive: false, isGivenUp: false }
    const make = (config: Config): unknown => middleware.updateConfig?.(config)
    this.#host.beginUpdate(update, from)
    try {
      const made = await runUpdate(update, () => this.#bring({ plan, maker: update }, make, options))
      const goLive = (): void => {
        update.wentLive = true
        made.goLive()
      }
      const stop = (): Promise<void> => {
        update.isGivenUp = !update.wentLive
        // Its stop may take long, and what it asked for has no value then either.
        if (update.isGivenUp) this.#host.ended(update)
        return made.stop()
      }
      return { ...made, goLive, stop }
    } catch (thrown) {
      update.isGivenUp = true
      this.#host.ended(update)
      throw thrown
    } finally {
      this.#host.endUpdate()
    }
  }

  async #bring(
    birth: Birth,
    make: (config: Config) => unknown,
    { signal = null, placement = alone }: UpdateOptions,
  ): Promise<StartedInstance> {
    const { plan } = birth
    const call = birth.maker === null ? plan.entryPoint : 'updateConfig'
    const config = deepFreeze(structuredClone(plan.config))
    const timeoutMs = this.#options.startTimeoutMs ?? PLUGIN_LIMITS.startTimeoutMs
    const step: Step = (name, run, onLate) => {
      this.#options.onStep?.(plan.name, name)
      return settleInTime(name, { timeoutMs, signal }, run, onLate)
    }
    let middleware: Middleware | null = null
    try {
      const late = (value: unknown): Promise<void> => this.#end(birth, this.#join(value, call))
      middleware = this.#join(await step(call, () => make(config), late), call)
      const made = middleware
      this.#host.started()
      await step('validateConfig', () => made.validateConfig?.(config, placement()))
      await step('healthCheck', () => made.healthCheck?.())
      return this.#instance(birth, made)
    } catch (thrown) {
      const cause = withMappedStack(thrown, this.#bundle.mapStack)
      if (middleware !== null) await this.#end(birth, middleware)
      else if (this.#present.size === 0) this.#host.release()
      const message = `Cannot ${birth.maker !== null ? 'update the config of' : 'start'} plugin "${plan.name}": ${messageOf(cause)}`
      throw new GatewayError('PLUGIN_START_FAILED', message, { cause, plugin: plan.name })
    }
  }

  /** Throws TypeError for what is no middleware, or is one already. */
  #join(returned: unknown, call: string): Middleware {
    const middleware = checkedMiddleware(returned, call)
    if (this.#present.has(middleware)) {
      throw new TypeError(
        `${call} returned the middleware that it was called on, which stays in use as it is; return a new one`,
      )
    }
    this.#living.add(middleware)
    this.#present.add(middleware)
    return middleware
  }

  #instance(birth: Birth, middleware: Middleware): StartedInstance {
    const { plan, maker } = birth
    let stopping: Promise<void> | null = null
    return {
      plan,
      middleware,
      log: this.#log,
      mapStack: this.#bundle.mapStack,
      frameOf: this.#bundle.frameOf,
      canUpdate: typeof middleware.updateConfig === 'function',
      update: (next, options = {}) => this.#update(middleware, maker, next, options),
      goLive: () => this.#host.goLive(plan, maker),
      retire: () => this.#host.retire(),
      stop: () => {
        stopping ??= this.#end(birth, middleware)
        return stopping
      },
    }
  }

  /**
   * Stops one of them; the last to begin silences the host, the last to end releases it. Never rejects: there is nobody
   * left who could act on it.
   */
  async #end({ plan, maker }: Birth, middleware: Middleware): Promise<void> {
    this.#living.delete(middleware)
    const timeoutMs = this.#options.stopTimeoutMs ?? PLUGIN_LIMITS.stopTimeoutMs
    try {
      this.#options.onStep?.(plan.name, 'stop')
      await settleInTime('stop', { timeoutMs, signal: null }, () => {
        // Runs the plugin's own listeners on host.signal, so it is part of the step.
        if (this.#living.size === 0) this.#host.quiesce()
        return middleware.stop?.()
      })
    } catch (thrown) {
      const error = withMappedStack(thrown, this.#bundle.mapStack)
      this.#log.error(`The plugin did not stop cleanly: ${messageOf(error)}`, { error })
    } finally {
      this.#present.delete(middleware)
      if (this.#present.size === 0) this.#host.release()
      else this.#host.ended(maker)
    }
  }
}

interface Deadline {
  readonly timeoutMs: number
  readonly signal: AbortSignal | null
}

/** Announces a step of the instance's life and runs it under its deadline. */
type Step = (name: string, run: () => unknown, onLate?: (value: unknown) => Promise<void>) => Promise<unknown>

/** Runs one step under a deadline. What it still returns after that goes to `onLate`, so that it is stopped. */
async function settleInTime(
  name: string,
  { timeoutMs, signal }: Deadline,
  run: () => unknown,
  onLate?: (value: unknown) => Promise<void>,
): Promise<unknown> {
  const running = Promise.try(run)
  const { promise: late, reject } = Promise.withResolvers<never>()
  const giveUp = (reason: unknown): void => {
    reject(reason)
    running
      .then(
        (value) => onLate?.(value),
        () => {},
      )
      .catch(() => {})
  }
  const timer = setTimeout(() => giveUp(tooLate(name, timeoutMs)), timeoutMs)
  const abort = (): void => giveUp(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([running, late])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

/** Without a stack: that would lead to a timer of the gateway's, and to no line of the plugin. */
function tooLate(name: string, timeoutMs: number): Error {
  const error = new Error(`${name} did not settle within ${timeoutMs.toLocaleString('en')} ms`)
  delete error.stack
  return error
}

/** Adds fields to every line. A plugin's own field of the same name does not hide whose line it is. */
function withFields(log: Log, fields: Readonly<Record<string, unknown>>): Log {
  return {
    debug: (message, more) => log.debug(message, { ...more, ...fields }),
    info: (message, more) => log.info(message, { ...more, ...fields }),
    warn: (message, more) => log.warn(message, { ...more, ...fields }),
    error: (message, more) => log.error(message, { ...more, ...fields }),
  }
}

function alone(): Placement {
  return { routes: [], others: [] }
}
