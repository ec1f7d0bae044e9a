import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import * as esbuild from 'esbuild'
import { failureOf, NOTHING, startTrialRunner, trialPlan } from './support/trial.ts'

/** The dry run of migrations, and what plugins of one plan have to do with each other. */

after(() => esbuild.stop())

const uses = (version: number, create: string): string => `export const PluginMain = (_, host) => {
  host.state('hits', ${version}, ${create})
  return ${NOTHING}
}`

const states = [
  { plugin: 'limit', name: 'hits', version: 1, value: new Map([['client', 7]]) },
  { plugin: 'other', name: 'hits', version: 9, value: 'not yours' },
]

test('TrialRunner.try() tries a migration on the copy of the live state', async (t) => {
  const { runner } = startTrialRunner(t)
  const check = `(previous) => {
    if (previous?.version !== 1 || previous.value.get('client') !== 7) throw new Error(JSON.stringify(previous))
    return new Map(previous.value)
  }`
  await runner.try({ plan: trialPlan({ limit: uses(2, check) }), states })
})

test('TrialRunner.try() fails for a migration that throws, though the state could be made of nothing', async (t) => {
  const { runner } = startTrialRunner(t)
  const plan = trialPlan({
    limit: uses(2, '(previous) => previous === null ? 1 : previous.value.missing.field'),
  })
  await assert.rejects(runner.try({ plan, states }), {
    code: 'PLUGIN_START_FAILED',
    plugin: 'limit',
    message: /^Cannot make state "hits" version 2 of version 1 for plugin "limit": /,
  })
  await runner.try({ plan, states: [] })
})

test('TrialRunner.try() fails for a migration that edits the old value and returns nothing', async (t) => {
  const { runner } = startTrialRunner(t)
  const plan = trialPlan({ limit: uses(2, "(previous) => { previous.value.set('client', 8) }") })
  await assert.rejects(runner.try({ plan, states }), {
    code: 'PLUGIN_START_FAILED',
    plugin: 'limit',
    message: /of version 1 for plugin "limit": create returned nothing; it must return the value$/,
  })
})

test('TrialRunner.try() says in which line of the plugin a state was asked for whose create returns no value', async (t) => {
  const runner = startTrialRunner(t)
  for (const create of ['async () => 1', '() => {}']) {
    const { stack } = await failureOf(runner, { limit: uses(1, create) })
    assert.match(stack, /^TypeError: create returned .*\n.*PluginMain \(.*limit\/plugin\.ts:2:8\)/s)
  }
})

test('TrialRunner.try() ends a migration that blocks the event loop, and names it', async (t) => {
  const runner = startTrialRunner(t, { stallMs: 300 })
  const failure = await failureOf(runner, { good: uses(1, '() => 1'), limit: uses(1, '() => { for (;;); }') })
  assert.equal(failure.code, 'PLUGIN_STALLED')
  assert.equal(failure.plugin, 'limit')
  assert.match(failure.message, /state hits kept the event loop/)
})

test('TrialRunner.try() lets an instance use what it depends on', async (t) => {
  const { runner } = startTrialRunner(t)
  const plan = trialPlan({
    users: `export const PluginMain = (_, host) => {
      host.provide({ find: async (id) => ({ id }) })
      return ${NOTHING}
    }`,
    login: {
      source: `export const PluginMain = async (_, host) => {
        const user = await host.use('users').find(7)
        if (user.id !== 7) throw new Error(JSON.stringify(user))
        return ${NOTHING}
      }`,
      dependencies: [1],
    },
  })
  await runner.try({ plan, states: [] })
})
