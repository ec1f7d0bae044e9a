import type { ExchangeError } from '@cardea/sdk'
import { ERRORS, type ErrorCode, GatewayError, isInstance, messageOf } from '../../base/errors.ts'
import { NOBODY, runningMark } from '../../base/running-mark.ts'
import type { CodeFailure } from '../../protocol/failure.ts'
import type { InstancePlan } from '../../protocol/generation.ts'
import type { LiveInstance } from '../../protocol/instance.ts'
import type { HookContext } from './context.ts'
import type { ExchangeView, HookFailure } from './exchange-view.ts'
import { GuardState, type InstanceGuard } from './guard.ts'

/** A hook or transform did not end in time. A class of its own, so that nothing a plugin throws counts as one. */
export class HookTimeout extends GatewayError {
  constructor(what: string, timeoutMs: number) {
    super('HOOK_TIMEOUT', `${what} took longer than ${timeoutMs} ms`)
  }
}

/** What is wrong with what `handle` returned. */
export function returnFault(result: unknown): GatewayError {
  return new GatewayError('HOOK_RETURN_INVALID', `handle returned ${returnFaultText(result)}`)
}

function returnFaultText(result: unknown): string {
  if (result === true) return 'true after send(); return what send() returns'
  if (result === false)
    return 'false without a status; set ctx.response.status, or return ctx.response.send(…)'
  const what = result === null || result === undefined ? String(result) : `a value of type ${typeof result}`
  return `${what}, neither true nor false; return true to go on, or false when ctx.response is the answer`
}

/** Codes that a hook's failure keeps. Those of body trouble have their own status although a hook stumbled over them. */
const KNOWN_FAULTS: ReadonlySet<ErrorCode> = new Set([
  'REQUEST_BODY_TOO_LARGE',
  'REQUEST_BODY_TIMEOUT',
  'REQUEST_MALFORMED',
  'UPSTREAM_BODY_TOO_LARGE',
  'UPSTREAM_CLOSED',
  'UPSTREAM_IDLE_TIMEOUT',
  'UPSTREAM_RESPONSE_INVALID',
  'BODY_UNREADABLE',
  'HOOK_TIMEOUT',
  'HOOK_RETURN_INVALID',
  'PLUGIN_STALLED',
  'PLUGIN_EXIT',
])

/** Whose fault a throw in a hook is: the client's or the upstream's when it came from a body, else the plugin's. */
export function hookFailure(plan: InstancePlan, hook: string, thrown: unknown): HookFailure {
  const { name, onFailure } = plan
  const fault = faultOf(thrown)
  const code = fault ?? 'HOOK_THREW'
  const kind = ERRORS[code]
  const fallback = fault === null || kind.source === 'plugin' ? onFailure : null
  return {
    code,
    message: failureMessage(plan, hook, thrown),
    source: kind.source === 'config' ? 'plugin' : kind.source,
    status: kind.status === 0 ? ERRORS.HOOK_THREW.status : kind.status,
    plugin: name,
    fallback: fallback?.kind === 'fallback' ? fallback : null,
  }
}

function faultOf(thrown: unknown): ErrorCode | null {
  const code = codeOf(thrown)
  return code !== null && KNOWN_FAULTS.has(code) ? code : null
}

/** Plugins get errors of ours into their hands, and may have changed them. */
function codeOf(thrown: unknown): ErrorCode | null {
  try {
    return thrown instanceof GatewayError && Object.hasOwn(ERRORS, thrown.code) ? thrown.code : null
  } catch {
    return null
  }
}

/** Says in the log of the instance what its code did, unless it says that too often, and counts it. */
export function noteHookFailure(
  context: HookContext,
  hook: string,
  thrown: unknown,
  exchange: Pick<ExchangeView, 'id' | 'routeName'>,
): void {
  runningMark[0] = NOBODY
  const { plan, guard } = context.entry
  const failure = hookFailure(plan, hook, thrown)
  const isReported = failure.source === 'plugin'
  const logged = logFailure(context.entry, hook, thrown, exchange, isReported)
  if (isInstance(thrown, HookTimeout)) guard.onTimeout(context)
  else guard.onProbed(context)
  if (isReported) guard.onFailure(logged)
}

/** The same for a listener of `ctx.signal`: the exchange is over or goes on without it. */
export function noteListenerFailure(
  entry: HookContext['entry'],
  thrown: unknown,
  exchange: Pick<ExchangeView, 'id' | 'routeName'>,
): void {
  entry.guard.onFailure(logFailure(entry, 'A listener of ctx.signal', thrown, exchange, true))
}

/** The same of code that no hook and no exchange waits for. `what`: a sentence without its end. */
export function noteLooseFailure(
  instance: LiveInstance,
  guard: InstanceGuard,
  what: string,
  thrown: unknown,
): void {
  const { plan, log } = instance
  const leftOut = guard.admitToLog()
  if (leftOut === null) {
    guard.onFailure(null)
    return
  }
  const stack = isInstance(thrown, Error) ? instance.mapStack(thrown) : null
  const frame = stack === null ? null : instance.frameOf(stack)
  const message = `${what}: ${messageOf(thrown)}`
  const code = 'HOOK_THREW'
  if (!guard.isWatched) {
    const more = { ...(frame !== null && { frame }), ...(leftOut > 0 && { leftOut }) }
    log.error(message, { code, stack: stack ?? messageOf(thrown), ...more })
  }
  guard.onFailure({ code, message, plugin: plan.name, stack, frame })
}

/** Returns what is reported of it, or null when too much is logged already. */
function logFailure(
  { plan, instance, guard }: HookContext['entry'],
  what: string,
  thrown: unknown,
  { id: requestId, routeName: route }: Pick<ExchangeView, 'id' | 'routeName'>,
  isReported: boolean,
): CodeFailure | null {
  const leftOut = guard.admitToLog()
  if (leftOut === null) return null
  const code = codeOf(thrown) ?? 'HOOK_THREW'
  // Mapping stacks is what takes time.
  const stack = isInstance(thrown, Error) ? instance.mapStack(thrown) : null
  const frame = stack === null ? null : instance.frameOf(stack)
  if (!(isReported && guard.isWatched)) {
    const more = { ...(frame !== null && { frame }), ...(leftOut > 0 && { leftOut }) }
    instance.log.error(`${what} failed`, {
      code,
      requestId,
      route,
      stack: stack ?? messageOf(thrown),
      ...more,
    })
  }
  return { code, message: failureMessage(plan, what, thrown), plugin: plan.name, stack, frame }
}

function failureMessage({ name }: InstancePlan, what: string, thrown: unknown): string {
  return `${what} of plugin "${name}" failed: ${messageOf(thrown)}`
}

/** Why no hook of an instance is called at present. */
export function barredFailure({ plan, guard }: HookContext['entry']): HookFailure {
  const isQuarantined = guard.state === GuardState.quarantined
  const code = isQuarantined ? 'PLUGIN_QUARANTINED' : 'PLUGIN_BREAKER_OPEN'
  const why = isQuarantined ? 'it is quarantined' : 'its breaker is open'
  const { name, onFailure } = plan
  return {
    code,
    message: `Plugin "${name}" is not called: ${why}`,
    source: 'plugin',
    status: ERRORS[code].status,
    plugin: name,
    fallback: onFailure.kind === 'fallback' ? onFailure : null,
  }
}

/** Whether the exchange goes on as if the plugin were not there. Bodies that are at fault are never passed over. */
export function isPassedOver(plan: InstancePlan, failure: HookFailure): boolean {
  return mayBePassedOver(plan) && failure.source === 'plugin'
}

/** The config refuses `open` for a security plugin; this holds also for what came around the config. */
export function mayBePassedOver({ onFailure, category }: InstancePlan): boolean {
  return onFailure.kind === 'open' && category !== 'security'
}

/** What one plugin writes into it is not for the others, nor for the record. */
export function copyOfError({ code, message, source, status, plugin }: ExchangeError): ExchangeError {
  return { code, message, source, status, plugin }
}
