import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import * as esbuild from 'esbuild'
import { GatewayError } from '../base/errors.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import { instancePlan } from '../protocol/test-plans.ts'
import { startInstance } from './instance.ts'
import { loadBundle } from './load.ts'
import { bundleOf, recordingLog } from './test-support.ts'

after(() => esbuild.stop())

/** What the plugins of these tests tell the tests; they have no other way out of their bundle. */
interface Told {
  told: unknown[]
}
const told: unknown[] = []
;(globalThis as unknown as Told).told = told
const PRELUDE = 'declare const told: unknown[]\n'

function start(source: string, changes: Partial<InstancePlan> = {}, startTimeoutMs = 10_000) {
  told.length = 0
  const recording = recordingLog()
  const bundle = loadBundle(bundleOf(PRELUDE + source), 'sample')
  const starting = startInstance(instancePlan(changes), bundle, recording.log, {
    startTimeoutMs,
    stopTimeoutMs: 20,
  })
  return { starting, ...recording }
}

async function failure(source: string, startTimeoutMs?: number): Promise<GatewayError> {
  const error = await start(source, {}, startTimeoutMs).starting.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof GatewayError, `${error}`)
  assert.equal(error.code, 'PLUGIN_START_FAILED')
  assert.equal(error.plugin, 'sample')
  return error
}

test('startInstance() refuses whatever is no middleware', async () => {
  const cases: [string, RegExp][] = [
    ['undefined', /PluginMain returned undefined instead of a middleware/],
    ['null', /PluginMain returned null instead/],
    ['"x"', /PluginMain returned string instead/],
    ['{ handle() { return true } }', /a middleware without a name/],
    ['{ name: "", handle() { return true } }', /a middleware without a name/],
    ['{ name: "x" }', /a middleware without handle/],
    ['{ name: "x", handle: true }', /a middleware without handle/],
    ['{ name: "x", handle() { return true }, onFinish: {} }', /whose onFinish is not a function but object/],
    [
      '{ name: "x", handle: go, onRespone() {} }',
      /whose onRespone nothing calls; did you mean onResponse\?$/,
    ],
    ['{ name: "x", handle: go, onerror() {} }', /whose onerror nothing calls; did you mean onError\?$/],
    ['{ name: "x", handle: go, validteConfig() {} }', /nothing calls; did you mean validateConfig\?$/],
  ]
  for (const [returned, expected] of cases) {
    const error = await failure(
      `const go = () => true\nexport const PluginMain = (): unknown => (${returned})`,
    )
    assert.match(error.message, /^Cannot start plugin "sample": PluginMain returned /)
    assert.match(error.message, expected)
  }
})

test('startInstance() takes members of other names, and whatever a class calls its own', async () => {
  const cases = [
    '{ name: "x", handle: go, onRequest: go, stopped: go, onErrorRate: 3, health: go, validate: go }',
    '{ name: "x", handle: go, onResponse() {}, onRespone: go }',
    'new (class { name = "x"; handle = go; onErrors() {} })()',
  ]
  for (const returned of cases) {
    const { starting } = start(`const go = () => true\nexport const PluginMain = () => (${returned})`)
    assert.equal((await starting).middleware.name, 'x')
  }
})

test('startInstance() reports a throw of each step with its line in plugin.ts', async () => {
  const steps = {
    PluginMain: `export const PluginMain = () => {\n  throw new Error('no start')\n}`,
    validateConfig: `export const PluginMain = () => ({ name: 'x', handle: () => true, validateConfig() {\n  throw new Error('no start') } })`,
    healthCheck: `export const PluginMain = () => ({ name: 'x', handle: () => true, async healthCheck() {\n  throw new Error('no start') } })`,
  }
  for (const source of Object.values(steps)) {
    const error = await failure(source)
    assert.equal(error.message, 'Cannot start plugin "sample": no start')
    assert.ok(error.cause instanceof Error)
    assert.match(error.cause.stack ?? '', /\/srv\/plugins\/sample\/plugin\.ts:3:9\)/)
  }
})

test('startInstance() gives up on a step that never settles', async () => {
  const hang = 'new Promise<never>(() => {})'
  const main = await failure(`export const PluginMain = () => ${hang}`, 20)
  assert.match(main.message, /PluginMain did not settle within 20 ms$/)
  assert.ok(main.cause instanceof Error)
  assert.doesNotMatch(main.cause.stack ?? '', /^ +at /m)
  const health = await failure(
    `export const PluginMain = () => ({ name: 'x', handle: () => true, healthCheck: () => ${hang} })`,
    20,
  )
  assert.match(health.message, /healthCheck did not settle within 20 ms$/)
})

test('startInstance() releases what a failing plugin acquired, and stops its middleware', async () => {
  await failure(`export const PluginMain = (_: unknown, host: any) => {
    host.signal.addEventListener('abort', () => told.push('aborted'))
    return { name: 'x', handle: () => true, stop() { told.push('stopped') },
      healthCheck() { throw new Error('ill') } } }`)
  assert.deepEqual(told, ['aborted', 'stopped'])
  await failure(`export const PluginMain = (_: unknown, host: any) => {
    host.signal.addEventListener('abort', () => told.push('aborted'))
    throw new Error('no') }`)
  assert.deepEqual(told, ['aborted'])
})

test('startInstance() stops the middleware of a PluginMain that returns too late', async () => {
  const late = Promise.withResolvers<void>()
  const stopped = Promise.withResolvers<void>()
  Object.assign(globalThis, { late: late.promise, stopped: stopped.resolve })
  await failure(
    `declare const late: Promise<void>; declare const stopped: () => void
    export const PluginMain = async () => { await late; return { name: 'x', handle: () => true, stop: stopped } }`,
    10,
  )
  late.resolve()
  await stopped.promise
})

test('startInstance() gives a frozen copy of the config and the host', async () => {
  const config = { list: [{ a: 1 }], text: 'hi' }
  const { starting } = start(
    `export const PluginMain = (config: any, host: any) => {
      told.push(config, Object.isFrozen(config.list[0]), typeof host.fetch, typeof host.hash)
      return { name: 'x', handle: () => true } }`,
    { config },
  )
  const live = await starting
  assert.deepEqual(told, [config, true, 'function', 'function'])
  assert.notEqual(told[0], config)
  assert.equal(Object.isFrozen(config), false)
  await live.stop()
})

test('startInstance() calls the steps in order and then the hooks are reachable', async () => {
  const { starting, lines } = start(
    `export async function Entry(config: any, host: any) {
    told.push('main')
    host.log.info('starting', { plugin: 'somebody else', size: 1 })
    return { name: 'x', handle: () => true, validateConfig: (c: any) => { told.push(['validate', c === config]) },
      async healthCheck() { told.push('health') } } }`,
    { entryPoint: 'Entry' },
  )
  const live = await starting
  assert.deepEqual(told, ['main', ['validate', true], 'health'])
  assert.equal(live.middleware.handle(undefined as never), true)
  assert.deepEqual(lines, [{ level: 'info', message: 'starting', fields: { plugin: 'sample', size: 1 } }])
  await live.stop()
})

test('stop() runs the middleware once, after timers and the signal', async () => {
  const { starting } = start(`export const PluginMain = (_: unknown, host: any) => ({
    name: 'x', handle: () => true, stop() { told.push(host.signal.aborted) } })`)
  const live = await starting
  await Promise.all([live.stop(), live.stop()])
  await live.stop()
  assert.deepEqual(told, [true])
})

test('stop() never rejects: failures and hangs are logged', async () => {
  for (const [stop, expected] of [
    [`() => { throw new Error('stuck') }`, /did not stop cleanly: stuck/],
    [`async () => { throw 'stuck' }`, /did not stop cleanly: stuck/],
    [`() => new Promise<never>(() => {})`, /stop did not settle within 20 ms/],
  ] as const) {
    const { starting, lines } = start(
      `export const PluginMain = () => ({ name: 'x', handle: () => true, stop: ${stop} })`,
    )
    await (await starting).stop()
    assert.equal(lines.length, 1)
    assert.match(lines[0]?.message ?? '', expected)
    assert.equal(lines[0]?.fields.plugin, 'sample')
  }
})

test('startInstance() gives up when its signal aborts, and stops what comes too late', async () => {
  const late = Promise.withResolvers<void>()
  const stopped = Promise.withResolvers<void>()
  Object.assign(globalThis, { late: late.promise, stopped: stopped.resolve })
  const bundle = loadBundle(
    bundleOf(`declare const late: Promise<void>; declare const stopped: () => void
    export const PluginMain = async () => { await late; return { name: 'x', handle: () => true, stop: stopped } }`),
    'sample',
  )
  const giveUp = new AbortController()
  const { signal } = giveUp
  const starting = startInstance(instancePlan(), bundle, recordingLog().log, { signal })
  giveUp.abort(new Error('not wanted any more'))
  await assert.rejects(starting, { message: 'Cannot start plugin "sample": not wanted any more' })
  late.resolve()
  await stopped.promise
})
