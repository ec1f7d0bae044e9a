import type { PluginTiming } from '@cardea/sdk'
import type { HookContext, Outcome } from './context.ts'
import { mayBePassedOver } from './hook-failure.ts'

/** One plugin's part of the record of an exchange. */
export function timingOf({ entry, times, outcome }: HookContext): PluginTiming {
  const { plan } = entry
  return {
    name: plan.name,
    handle: times?.handleMs ?? 0,
    onResponse: times?.onResponseMs ?? 0,
    outcome: told(outcome, plan),
  }
}

function told(outcome: Outcome, plan: HookContext['entry']['plan']): PluginTiming['outcome'] {
  if (outcome === 'barred') return mayBePassedOver(plan) ? 'skipped' : 'failed'
  return outcome === 'entered' ? 'failed' : outcome
}
