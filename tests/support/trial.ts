import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import * as esbuild from 'esbuild'
import { GatewayError } from '../../packages/gateway/src/base/errors.ts'
import type { TrialLimits } from '../../packages/gateway/src/control-plane/trial-process.ts'
import { TrialRunner } from '../../packages/gateway/src/control-plane/trial-runner.ts'
import { childEntryFile, childFlags } from '../../packages/gateway/src/main/child-slot.ts'
import { bundleMapper } from '../../packages/gateway/src/plugin-host/load.ts'
import type {
  BundlePlan,
  GenerationPlan,
  InstancePlan,
} from '../../packages/gateway/src/protocol/generation.ts'
import { type LoggedLine, logInto, planOf } from './data-plane.ts'
import { descendantsOf } from './processes.ts'

// As the launcher does (packages/gateway/bin/cardea.js): a process starts in half the time.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'cardea')

/** A plugin as TypeScript text of its plugin.ts, or more of it. */
export type TrialPlugin = string | (Partial<InstancePlan> & { readonly source: string })

export const PLUGINS_FOLDER = '/srv/plugins'

/** A middleware that does nothing, to be returned by a PluginMain. */
export const NOTHING = "({ name: 'nothing', handle: () => true })"

/** A plan of one instance for each plugin, by name, in this order. */
export function trialPlan(plugins: Readonly<Record<string, TrialPlugin>>): GenerationPlan {
  const plan = planOf({})
  const bundles: BundlePlan[] = []
  const instances = Object.entries(plugins).map(([name, plugin], index): InstancePlan => {
    const { source, ...changes } = typeof plugin === 'string' ? { source: plugin } : plugin
    const bundle = bundleOf(name, source)
    bundles.push(bundle)
    return { ...instancePlanOf(name, index + 1), codeHash: bundle.codeHash, ...changes }
  })
  return { ...plan, instances, bundles }
}

function instancePlanOf(name: string, id: number): InstancePlan {
  const [plan] = planOf({ plugins: [{ name, handle: () => true }] }).instances
  if (plan === undefined) throw new Error('planOf() has lost its plugin')
  return { ...plan, id, key: name }
}

/** Compiled as the control plane does it, but for what is imported. */
function bundleOf(name: string, source: string): BundlePlan {
  const compiled = esbuild.transformSync(source, {
    loader: 'ts',
    format: 'cjs',
    target: 'node24',
    sourcefile: 'plugin.ts',
    sourcemap: 'external',
    sourcesContent: false,
  })
  return {
    codeHash: createHash('sha256').update(`${name}\n${compiled.code}`).digest('hex'),
    code: compiled.code,
    sourceMap: compiled.map,
    entryFile: resolve(PLUGINS_FOLDER, name, 'plugin.ts'),
  }
}

/** The trial processes of this test file. */
export function trialPids(): number[] {
  return descendantsOf(process.pid).flatMap(({ pid, command }) => {
    // By its entry file until it has given itself a title.
    return /^cardea: trial|\/trial\.ts /.test(command) ? [pid] : []
  })
}

export interface TestTrialRunner {
  readonly runner: TrialRunner
  readonly logged: readonly LoggedLine[]
  /** Tries one plan of these plugins. */
  try(plugins: Readonly<Record<string, TrialPlugin>>): Promise<void>
}

/** A runner as the supervisor has it, closed when the test ends. */
export function startTrialRunner(t: TestContext, limits: Partial<TrialLimits> = {}): TestTrialRunner {
  const logged: LoggedLine[] = []
  const runner = openTrialRunner(logged, limits)
  t.after(() => runner.close())
  return {
    runner,
    logged,
    try: (plugins) => runner.try({ plan: trialPlan(plugins), states: [] }),
  }
}

/** What is left of the error with which a trial must fail. */
export interface TrialFailure {
  readonly code: string
  readonly message: string
  readonly plugin: string | null
  /** Of the cause; '' without one. */
  readonly stack: string
}

/** Fails the test when the trial passes, or rejects with anything but a GatewayError. */
export async function failureOf(
  runner: TestTrialRunner,
  plugins: Readonly<Record<string, TrialPlugin>>,
): Promise<TrialFailure> {
  const error = await runner.try(plugins).then(
    () => assert.fail('The trial passed'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof GatewayError, `${error}`)
  const { code, message, plugin, cause } = error
  return { code, message, plugin, stack: cause instanceof Error ? (cause.stack ?? '') : '' }
}

export function openTrialRunner(logged: LoggedLine[], limits: Partial<TrialLimits> = {}): TrialRunner {
  return new TrialRunner({
    entryFile: childEntryFile('trial.ts'),
    flags: childFlags('trial.ts'),
    log: logInto(logged),
    mapStack: (bundle, error) => bundleMapper(bundle).mapStack(error),
    limits,
  })
}
