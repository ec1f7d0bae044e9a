import type { Host, Log, Middleware } from '@cardea/sdk'
import { GatewayError, messageOf } from '../base/errors.ts'
import { PLUGIN_LIMITS } from '../config/limits.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { LiveInstance } from '../protocol/instance.ts'
import { type InstanceHost, openHost, type Surroundings, SYSTEM } from './host.ts'
import { entryPointOf, type LoadedBundle, withMappedStack } from './load.ts'

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
}

/** The functions that a middleware may have besides `handle`. */
const OPTIONAL_HOOKS = ['onResponse', 'onError', 'onFinish', 'validateConfig', 'healthCheck', 'stop'] as const

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
): Promise<LiveInstance> {
  const starting = {
    timeoutMs: options.startTimeoutMs ?? PLUGIN_LIMITS.startTimeoutMs,
    signal: options.signal ?? null,
  }
  const stopping = { timeoutMs: options.stopTimeoutMs ?? PLUGIN_LIMITS.stopTimeoutMs, signal: null }
  const main = entryPointOf(bundle, plan) as (config: unknown, host: Host) => unknown
  const instanceLog = withFields(log, { plugin: plan.name })
  const instanceHost = openHost(plan, instanceLog, bundle.mapStack, options.surroundings ?? SYSTEM)
  const config = deepFreeze(structuredClone(plan.config))
  const step: Step = (name, run, onLate) => {
    options.onStep?.(plan.name, name)
    return settleInTime(name, name === 'stop' ? stopping : starting, run, onLate)
  }
  const end = (middleware: Middleware): Promise<void> =>
    endInstance(middleware, instanceHost, instanceLog, bundle, step)

  let middleware: Middleware | null = null
  try {
    const returned = await step(plan.entryPoint, () => main(config, instanceHost.host), end)
    const made = checkShape(returned, plan.entryPoint)
    middleware = made
    await step('validateConfig', () => made.validateConfig?.(config))
    await step('healthCheck', () => made.healthCheck?.())
    return liveInstance(plan, made, instanceLog, bundle, () => end(made))
  } catch (thrown) {
    const cause = withMappedStack(thrown, bundle.mapStack)
    if (middleware === null) instanceHost.release()
    else await end(middleware)
    throw new GatewayError('PLUGIN_START_FAILED', `Cannot start plugin "${plan.name}": ${messageOf(cause)}`, {
      cause,
      plugin: plan.name,
    })
  }
}

function liveInstance(
  plan: InstancePlan,
  middleware: Middleware,
  log: Log,
  bundle: LoadedBundle,
  end: () => Promise<void>,
): LiveInstance {
  let stopping: Promise<void> | null = null
  return {
    plan,
    middleware,
    log,
    mapStack: bundle.mapStack,
    stop() {
      stopping ??= end()
      return stopping
    },
  }
}

/** Stops the middleware, then releases its host. Never rejects: there is nobody left who could act on it. */
async function endInstance(
  middleware: Middleware,
  instanceHost: InstanceHost,
  log: Log,
  bundle: LoadedBundle,
  step: Step,
): Promise<void> {
  try {
    await step('stop', () => {
      // Runs the plugin's own listeners on host.signal, so it is part of the step.
      instanceHost.quiesce()
      return middleware.stop?.()
    })
  } catch (thrown) {
    const error = withMappedStack(thrown, bundle.mapStack)
    log.error(`The plugin did not stop cleanly: ${messageOf(error)}`, { error })
  } finally {
    instanceHost.release()
  }
}

interface Deadline {
  readonly timeoutMs: number
  readonly signal: AbortSignal | null
}

/** Announces a step of the instance's life and runs it under its deadline. */
type Step = (
  name: string,
  run: () => unknown,
  onLate?: (middleware: Middleware) => Promise<void>,
) => Promise<unknown>

/** Runs one step under a deadline. What a late PluginMain still returns goes to `onLate`, so that it is stopped. */
async function settleInTime(
  name: string,
  { timeoutMs, signal }: Deadline,
  run: () => unknown,
  onLate?: (middleware: Middleware) => Promise<void>,
): Promise<unknown> {
  const running = Promise.try(run)
  const { promise: late, reject } = Promise.withResolvers<never>()
  const giveUp = (reason: unknown): void => {
    reject(reason)
    running
      .then(
        (value) => onLate?.(checkShape(value, name)),
        () => {},
      )
      .catch(() => {})
  }
  const timer = setTimeout(
    () => giveUp(new Error(`${name} did not settle within ${timeoutMs.toLocaleString('en')} ms`)),
    timeoutMs,
  )
  const abort = (): void => giveUp(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([running, late])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

function checkShape(returned: unknown, entryPoint: string): Middleware {
  if (typeof returned !== 'object' || returned === null) {
    throw new TypeError(
      `${entryPoint} returned ${returned === null ? 'null' : typeof returned} instead of a middleware, ` +
        'an object with name and handle',
    )
  }
  const middleware = returned as Record<string, unknown>
  if (typeof middleware.name !== 'string' || middleware.name === '') {
    throw new TypeError(`${entryPoint} returned a middleware without a name; give it a string`)
  }
  if (typeof middleware.handle !== 'function') {
    throw new TypeError(`${entryPoint} returned a middleware without handle; give it a function handle(ctx)`)
  }
  for (const hook of OPTIONAL_HOOKS) {
    const value = middleware[hook]
    if (value !== undefined && typeof value !== 'function') {
      throw new TypeError(
        `${entryPoint} returned a middleware whose ${hook} is not a function but ${typeof value}`,
      )
    }
  }
  return returned as Middleware
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

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) deepFreeze(member)
  }
  return value
}
