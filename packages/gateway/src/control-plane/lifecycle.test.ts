import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { GatewayError } from '../base/errors.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { PluginStatus } from '../protocol/plugin-state.ts'
import type { BuiltPlugin } from './build.ts'
import { NEXT_STEPS, PluginLifecycle } from './lifecycle.ts'
import { problemAt } from './problem.ts'
import { quarantineOf } from './quarantine.ts'
import { verifiedPlugin } from './test-support.ts'

const ROOT = '/plugins'
const folderOf = (name: string): string => join(ROOT, name)
const verified = (name: string) => verifiedPlugin(folderOf(name), { name, version: '2.0.0' })
const built = (name: string): BuiltPlugin => {
  const { entryFile, ...rest } = verified(name)
  return {
    ...rest,
    entryFile,
    bundle: { codeHash: `hash of ${name}`, code: '', sourceMap: '', entryFile },
    libraryFiles: [],
  }
}
const problem = (name: string) =>
  problemAt(folderOf(name), 'PLUGIN_BUILD_FAILED', 'It is wrong.', { folder: folderOf(name) })

/** A plan that runs these plugins; only what the lifecycle reads is there. */
function planOf(...names: string[]): GenerationPlan {
  return {
    number: 7,
    instances: names.map((name, id) => ({
      id,
      dependencies: [],
      name: `my-${name}`,
      plugin: name,
      version: '2.0.0',
      codeHash: `hash of ${name}`,
    })),
    bundles: names.map((name) => built(name).bundle),
  } as unknown as GenerationPlan
}

/** A lifecycle with these plugins, all at `stage`, and what it reports from then on. */
function at(stage: 'discovered' | 'verified' | 'built' | 'validated' | 'active', ...names: string[]) {
  const steps: string[] = []
  const lifecycle = new PluginLifecycle(({ name, state }: PluginStatus) =>
    steps.push(`${name} ${state.kind === 'failed' ? `failed at ${state.stage}` : state.kind}`),
  )
  const advance = {
    discovered: () =>
      lifecycle.discovered(
        names.map((name) => ({ folder: folderOf(name), origin: 'user' as const })),
        [],
      ),
    verified: () => lifecycle.verified(names.map(verified), []),
    built: () => lifecycle.built(names.map(built), []),
    validated: () => lifecycle.validated(new Set(names.map(folderOf)), [], []),
    active: () => lifecycle.committed(planOf(...names), []),
  }
  for (const [name, run] of Object.entries(advance)) {
    run()
    if (name === stage) break
  }
  steps.length = 0
  return { lifecycle, steps, stateOf: (name: string) => stateIn(lifecycle, name) }
}

function stateIn(lifecycle: PluginLifecycle, name: string) {
  return lifecycle.plugins.find(({ folder }) => folder === folderOf(name))?.state
}

test('PluginLifecycle refuses a step that cannot follow, and keeps the state', () => {
  const { lifecycle, steps, stateOf } = at('verified', 'a')
  assert.throws(() => lifecycle.committed(planOf('a'), []), {
    code: 'INTERNAL_ERROR',
    message: 'Cannot take plugin "a" from verified to active: no stage does that',
  })
  assert.throws(() => lifecycle.verified([verified('a')], []), /from verified to verified/)
  assert.throws(() => lifecycle.built([built('b')], []), /"b" from unknown to built/)
  assert.deepEqual([stateOf('a'), steps], [{ kind: 'verified' }, []])
})

test('PluginLifecycle refuses any step of a plugin that failed, is disabled or has stopped', () => {
  const failed = at('discovered', 'a')
  failed.lifecycle.verified([], [problem('a')])
  assert.throws(() => failed.lifecycle.verified([verified('a')], []), /from failed to verified/)
  const disabled = at('verified', 'a')
  disabled.lifecycle.disabled([verified('a')])
  assert.throws(() => disabled.lifecycle.built([built('a')], []), /from disabled to built/)
  const stopped = at('active', 'a')
  stopped.lifecycle.draining()
  stopped.lifecycle.stopped()
  assert.throws(() => stopped.lifecycle.committed(planOf('a'), []), /from stopped to active/)
})

test('PluginLifecycle keeps the stage and every fault of a plugin that failed, others go on', () => {
  const { lifecycle, steps, stateOf } = at('verified', 'a', 'b')
  const first = { ...problem('a'), line: 1 }
  lifecycle.built([built('b')], [{ ...problem('a'), line: 2 }, first, first])
  const fault = { code: 'PLUGIN_BUILD_FAILED', message: 'It is wrong.', file: folderOf('a'), column: 1 }
  assert.deepEqual(stateOf('a'), {
    kind: 'failed',
    stage: 'build',
    faults: [
      { ...fault, line: 1 },
      { ...fault, line: 2 },
    ],
  })
  assert.deepEqual(steps, ['b built', 'a failed at build'])
})

test('PluginLifecycle names a plugin by its folder until its plugin.json is read', () => {
  const { lifecycle } = at('discovered', 'a')
  const names = () => lifecycle.plugins.map(({ name, version }) => [name, version])
  lifecycle.discovered([], [problem('b')])
  assert.deepEqual(names(), [
    ['a', null],
    ['b', null],
  ])
  lifecycle.verified([verifiedPlugin(folderOf('a'), { name: 'other', version: '3.0.0' })], [])
  assert.deepEqual(names()[0], ['other', '3.0.0'])
})

test('PluginLifecycle takes problems that are no plugin’s for nothing of a plugin', () => {
  const { lifecycle, steps } = at('built', 'a')
  lifecycle.validated(new Set(), [], [problemAt('/cardea.yaml', 'PLUGIN_NOT_FOUND', 'There is none.')])
  assert.deepEqual(steps, [])
})

test('failedToStart() finds the plugin of an instance, and its topmost own line', () => {
  const { lifecycle, steps, stateOf } = at('validated', 'a', 'b')
  const cause = new Error('no database')
  cause.stack = `Error: no database
    at connect (${folderOf('b')}-other/x.ts:1:1)
    at run (${folderOf('b')}/plugin.ts (bundled):9:9)
    at PluginMain (${folderOf('b')}/lib/db.ts:4:15)
    at startInstance (/gateway/instance.ts:1:1)`
  const message = 'Cannot start plugin "my-b": no database'
  const thrown = new GatewayError('PLUGIN_START_FAILED', message, { plugin: 'my-b', cause })
  lifecycle.failedToStart(planOf('a', 'b'), thrown)
  const place = { file: `${folderOf('b')}/lib/db.ts`, line: 4, column: 15 }
  const faults = [{ code: 'PLUGIN_START_FAILED', message, ...place }]
  assert.deepEqual(stateOf('b'), { kind: 'failed', stage: 'start', faults })
  assert.deepEqual(steps, ['b failed at start'])
})

test('failedToStart() points at the entry file when no line is to blame', () => {
  const { lifecycle, stateOf } = at('validated', 'a')
  // Code that does not load is reported under the plugin's own name.
  lifecycle.failedToStart(planOf('a'), new GatewayError('PLUGIN_START_FAILED', 'Late.', { plugin: 'a' }))
  const state = stateOf('a')
  assert.ok(state?.kind === 'failed')
  assert.deepEqual(state.faults, [
    { code: 'PLUGIN_START_FAILED', message: 'Late.', file: `${folderOf('a')}/plugin.ts`, line: 1, column: 1 },
  ])
})

test('failedToStart() blames no plugin for what is none’s fault', () => {
  const { lifecycle, steps } = at('validated', 'a')
  lifecycle.failedToStart(planOf('a'), new GatewayError('WORKER_START_FAILED'))
  lifecycle.failedToStart(planOf('a'), new Error('no answer'))
  lifecycle.failedToStart(planOf('a'), new GatewayError('PLUGIN_START_FAILED', 'x', { plugin: 'gone' }))
  assert.deepEqual(steps, [])
})

test('PluginLifecycle makes active what the plan runs, and drains and stops only that', () => {
  const { lifecycle, steps, stateOf } = at('validated', 'a', 'b')
  lifecycle.stopped()
  lifecycle.draining()
  lifecycle.committed(planOf('b'), [])
  lifecycle.stopped()
  lifecycle.draining()
  assert.deepEqual(stateOf('b'), { kind: 'draining', generation: 7 })
  lifecycle.stopped()
  lifecycle.stopped()
  assert.deepEqual(steps, ['b active', 'b draining', 'b stopped'])
  assert.deepEqual(stateOf('a'), { kind: 'validated' })
})

test('PluginLifecycle has a plugin quarantined with what its instances did, and drains and stops it', () => {
  const { lifecycle, steps, stateOf } = at('validated', 'a', 'b')
  const plan = planOf('a', 'b')
  const instances = plan.instances.map((instance) => ({ ...instance, quarantined: instance.plugin === 'a' }))
  const known = instances.map((instance) => quarantineOf(instance, instances, 'stall'))
  lifecycle.committed({ ...plan, instances }, known)
  const name = instances[0]?.name
  assert.deepEqual(stateOf('a'), {
    kind: 'quarantined',
    generation: 7,
    instances: [{ name, harm: 'stall' }],
  })
  lifecycle.draining()
  lifecycle.stopped()
  assert.deepEqual(steps, ['a quarantined', 'b active', 'a draining', 'b draining', 'a stopped', 'b stopped'])
  const adopted = new PluginLifecycle()
  adopted.committed({ ...plan, instances }, [])
  const state = { kind: 'quarantined', generation: 7, instances: [{ name, harm: null }] }
  assert.deepEqual(stateIn(adopted, 'a'), state)
})

test('PluginLifecycle notes what is a fact of a decided generation, and says that it cannot follow', () => {
  const mistakes: string[] = []
  const lifecycle = new PluginLifecycle(undefined, ({ code, message }) => mistakes.push(`${code} ${message}`))
  lifecycle.committed(planOf('a'), [])
  lifecycle.committed({ ...planOf('a'), number: 8 }, [])
  assert.deepEqual(mistakes, [
    'INTERNAL_ERROR Cannot take plugin "a" from active to active: no stage does that',
  ])
  assert.deepEqual(stateIn(lifecycle, 'a'), { kind: 'active', generation: 8 })
  // What is decided yet is none.
  assert.throws(() => lifecycle.verified([verified('a')], []), { code: 'INTERNAL_ERROR' })
})

test('committed() takes over what a plan runs, with name and version', () => {
  const lifecycle = new PluginLifecycle()
  lifecycle.committed(planOf('a'), [])
  assert.deepEqual(lifecycle.plugins, [
    { folder: folderOf('a'), name: 'a', version: '2.0.0', state: { kind: 'active', generation: 7 } },
  ])
})

test('docs/reference/plugin-states.md has every state and every stage', () => {
  const repository = join(dirname(import.meta.dirname), '../../..')
  const page = readFileSync(join(repository, 'docs/reference/plugin-states.md'), 'utf8')
  const rows = new Set([...page.matchAll(/^\| `([a-z]+)` \|/gm)].map((match) => match[1]))
  const { unknown: _, ...states } = NEXT_STEPS
  const steps: readonly string[] = Object.values(NEXT_STEPS).flat()
  const stages = steps.flatMap((step) => /^failed at (.+)/.exec(step)?.[1] ?? [])
  assert.deepEqual(rows, new Set([...Object.keys(states), ...stages]))
})
