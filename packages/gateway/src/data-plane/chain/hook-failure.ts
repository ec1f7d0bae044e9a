import { ERRORS, type ErrorCode, GatewayError, messageOf } from '../../base/errors.ts'
import type { InstancePlan } from '../../protocol/generation.ts'
import type { LiveInstance } from '../../protocol/instance.ts'
import type { HookFailure } from './exchange-view.ts'

/** Codes of body trouble that keep their own status although a hook stumbled over them. */
const BODY_FAULTS: ReadonlySet<ErrorCode> = new Set([
  'REQUEST_BODY_TOO_LARGE',
  'REQUEST_BODY_TIMEOUT',
  'REQUEST_MALFORMED',
  'UPSTREAM_BODY_TOO_LARGE',
  'UPSTREAM_CLOSED',
  'UPSTREAM_IDLE_TIMEOUT',
  'UPSTREAM_RESPONSE_INVALID',
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
    message: `${hook} of plugin "${name}" failed: ${messageOf(thrown)}`,
    source: kind.source === 'config' ? 'plugin' : kind.source,
    status: kind.status === 0 ? ERRORS.HOOK_THREW.status : kind.status,
    plugin: name,
    fallback: fallback?.kind === 'fallback' ? fallback : null,
  }
}

function faultOf(thrown: unknown): ErrorCode | null {
  if (!(thrown instanceof GatewayError)) return null
  const known =
    BODY_FAULTS.has(thrown.code) || thrown.code.startsWith('HOOK_') || thrown.code === 'BODY_UNREADABLE'
  return known ? thrown.code : null
}

/** Says in the log of the instance what its code did. */
export function logHookFailure(
  instance: LiveInstance,
  hook: string,
  thrown: unknown,
  exchange: { readonly id: string; readonly routeName: string },
): void {
  instance.log.error(`${hook} failed`, {
    code: thrown instanceof GatewayError ? thrown.code : 'HOOK_THREW',
    requestId: exchange.id,
    route: exchange.routeName,
    stack: thrown instanceof Error ? instance.mapStack(thrown) : messageOf(thrown),
  })
}

/** Whether the exchange goes on as if the plugin were not there. Bodies that are at fault are never passed over. */
export function isPassedOver(plan: InstancePlan, failure: HookFailure): boolean {
  return mayBePassedOver(plan) && failure.source === 'plugin'
}

/** The config refuses `open` for a security plugin; this holds also for what came around the config. */
export function mayBePassedOver({ onFailure, category }: InstancePlan): boolean {
  return onFailure.kind === 'open' && category !== 'security'
}
