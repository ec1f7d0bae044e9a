import type { PluginTiming } from '@cardea/sdk'
import type { HookContext } from './context.ts'

/** One plugin's part of the record of an exchange. */
export function timingOf(context: HookContext): PluginTiming {
  const { entry, times } = context
  return {
    name: entry.plan.name,
    handle: times?.handleMs ?? 0,
    onResponse: times?.onResponseMs ?? 0,
    outcome: told(context),
  }
}

function told({ entry, times, outcome }: HookContext): PluginTiming['outcome'] {
  if (outcome === 'barred') return entry.mayBePassedOver ? 'skipped' : 'failed'
  if (outcome === 'passed' && times?.onResponseSkipped === true) return 'skipped'
  return outcome === 'entered' || outcome === 'overtaken' ? 'failed' : outcome
}
