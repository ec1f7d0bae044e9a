import { failedByThrow } from '../control-plane/change-result.ts'
import { TrialRunner } from '../control-plane/trial-runner.ts'
import { childEntryFile, childFlags } from '../main/child-slot.ts'
import { bundleMapper } from '../plugin-host/load.ts'
import type { ChangeProblem } from '../protocol/control.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import { neighboursIn } from '../protocol/neighbours.ts'

/**
 * What only plugins' code refuses, such as their `validateConfig`: all instances start in a trial process and are stopped
 * again, as before a change. The first that fails ends it. Nothing runs here.
 */
export async function trialProblems(plan: GenerationPlan): Promise<readonly ChangeProblem[]> {
  const trials = new TrialRunner({
    entryFile: childEntryFile('trial.ts'),
    flags: childFlags('trial.ts'),
    log: { debug() {}, info() {}, warn() {}, error() {} },
    mapStack: (bundle, error) => bundleMapper(bundle).mapStack(error),
  })
  try {
    const plugins = new Set(plan.instances.map(({ plugin }) => plugin))
    const neighbours = neighboursIn(plan, plugins)
    await trials.try({ plan: quiet(plan), states: [], neighbours })
    return []
  } catch (thrown) {
    return failedByThrow('trial', plan, thrown).problems
  } finally {
    await trials.close()
  }
}

/** What plugins say at their start is for the log of a gateway. */
function quiet(plan: GenerationPlan): GenerationPlan {
  return { ...plan, settings: { ...plan.settings, log: { ...plan.settings.log, level: 'error' } } }
}
