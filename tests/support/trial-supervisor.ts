import { openTrialRunner, trialPlan } from './trial.ts'

/**
 * Run as a program: tries the plugin whose text is the argument, with limits that never end it, and then waits to be
 * killed.
 */

const never = 2 ** 31 - 1
const runner = openTrialRunner([], { stallMs: never, startTimeoutMs: never - 2_000 })
const plan = trialPlan({ plugin: process.argv[2] ?? '' })
setInterval(() => {}, never)
await runner.try({ plan, states: [] })
