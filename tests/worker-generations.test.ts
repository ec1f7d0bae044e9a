import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Workers } from '../packages/gateway/src/control-plane/workers.ts'
import type { BundlePlan, GenerationPlan } from '../packages/gateway/src/protocol/generation.ts'
import { PlanPacker, packPlan, unpackPlan } from '../packages/gateway/src/protocol/packed-plan.ts'
import { type SlimPlan, slimPlan } from '../packages/gateway/src/protocol/slim-plan.ts'
import { instancePlan } from '../packages/gateway/src/protocol/test-plans.ts'
import { planOf, respond } from './support/data-plane.ts'
import { LoneWorker } from './support/lone-worker.ts'
import { waitFor } from './support/wait-for.ts'

/** A worker process as the supervisor's messages move it from generation to generation. */

const BASE = planOf({ routes: [{ name: 'all', action: respond(404, 'no plugin answered') }] })

/** `config.answer` is answered, with what `hits` counted; `/wait` waits for `/go`, a plugin's hang for nothing. */
const PLUGIN = bundleOf(`
let go = () => {}
exports.PluginMain = async (config, host) => {
  const hits = host.state('hits', config.version ?? 1, (previous) => ({ count: previous?.value.count ?? 0 }))
  if (config.hang) {
    host.log.info('hangs')
    await new Promise(() => {})
  }
  if (config.fail) throw new Error('does not start')
  host.log.info('started ' + config.answer)
  // As the master would, in the turn that comes once all instances have started.
  if (config.once) host.once('task', () => new Promise(() => {}))
  if (config.throws) setImmediate(() => { throw new Error('too late') })
  if (config.blocks) setImmediate(() => { for (;;); })
  if (config.blocksInTimer) {
    const dueAt = performance.now() + 2
    setTimeout(() => { for (;;); }, 1)
    // It is due when this turn ends: what is staged goes on in the same turn, after it was ended.
    while (performance.now() < dueAt);
  }
  const says = () => process.send({ kind: 'relay', message: { kind: 'skipped', traces: 7 } })
  const harms = { blocks: () => { says(); for (;;); }, throws: () => { throw new Error('too late') } }
  const harm = harms[config.harms]
  if (harm) process.on('message', ({ message }) => { if (message?.kind === 'tracing') setImmediate(harm) })
  if (config.exits) setImmediate(() => process.exit(0))
  if (config.says) setImmediate(() => process.emit('message', { kind: 'relay', message: config.says }))
  return {
    name: 'sample',
    async handle(ctx) {
      if (ctx.request.path === '/wait') {
        host.log.info('waits')
        await new Promise((resolve) => { go = resolve })
      }
      if (ctx.request.path === '/go') go()
      return ctx.response.json({ answer: config.answer, hits: ++hits.value.count })
    },
    async stop() {
      host.log.info('stopped ' + config.answer)
      if (!config.stopsLate) return
      await new Promise((resolve) => { go = resolve })
      host.log.info('at rest ' + config.answer)
    },
  }
}`)

function bundleOf(code: string): BundlePlan {
  const codeHash = createHash('sha256').update(code).digest('hex')
  return { codeHash, code, sourceMap: '{"version":3,"sources":[],"mappings":""}', entryFile: '/p/plugin.js' }
}

type Config = { readonly answer: string } & Readonly<Record<string, unknown>>

function generation(number: number, config: Config): GenerationPlan {
  const instance = instancePlan({
    id: 3,
    codeHash: PLUGIN.codeHash,
    config,
    category: 'custom',
    timeoutMs: 60_000,
    key: JSON.stringify(config),
  })
  return {
    ...BASE,
    number,
    settings: { ...BASE.settings, log: { level: 'info', format: 'json' } },
    routes: BASE.routes.map((route) => ({ ...route, chain: [3] })),
    instances: [instance],
    bundles: [PLUGIN],
  }
}

const start = (t: TestContext, committed: GenerationPlan | null = null): Promise<LoneWorker> =>
  LoneWorker.start(t, generation(0, { answer: '' }).settings, committed)

async function get(worker: LoneWorker, path = '/'): Promise<{ answer: string; hits: number }> {
  const response = await fetch(`http://127.0.0.1:${worker.port}${path}`)
  return (await response.json()) as { answer: string; hits: number }
}

const logged = (worker: LoneWorker, line: string): Promise<true> =>
  waitFor(() => worker.log.includes(`"message":"${line}"`), `the log line "${line}"`)

test('a generation that was not staged, or failed to, cannot be committed: the worker ends', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  const plan = generation(2, { answer: 'two', fail: true })
  const failed = await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  assert.equal(failed.kind, 'stage-failed')
  assert.match(failed.kind === 'stage-failed' ? failed.failure.message : '', /does not start/)
  assert.deepEqual(await get(worker), { answer: 'one', hits: 1 })
  worker.send({ kind: 'commit', id: 0, generation: 2 })
  await waitFor(() => worker.exitCode !== null, 'the worker to end')
  assert.match(worker.log, /Cannot commit generation 2: it is not staged/)
})

test('commit is answered again when it is repeated, with the time of the swap by a clock that is never set', async (t) => {
  const worker = await start(t)
  const before = process.hrtime.bigint()
  await worker.serve(generation(1, { answer: 'one' }))
  const commit = () => worker.request((id) => ({ kind: 'commit', id, generation: 1 }))
  const [first, second] = [await commit(), await commit()]
  assert.ok(first.kind === 'committed' && second.kind === 'committed')
  assert.equal(first.at, second.at)
  assert.ok(first.at >= Number(before) / 1e6 - 1 && first.at <= Number(process.hrtime.bigint()) / 1e6 + 1)
  // Also while the next one is staged already.
  const plan = generation(2, { answer: 'two' })
  await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  const third = await commit()
  assert.ok(third.kind === 'committed' && third.at === first.at)
  assert.equal((await get(worker)).answer, 'one')
})

test('a staged generation serves nothing and is stopped when it is discarded', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  const plan = generation(2, { answer: 'two' })
  await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  assert.equal((await get(worker)).answer, 'one')
  worker.send({ kind: 'discard', generation: 7 })
  worker.send({ kind: 'discard', generation: 2 })
  await logged(worker, 'stopped two')
  assert.equal((await get(worker)).answer, 'one')
  await worker.serve(generation(3, { answer: 'three' }))
  assert.equal((await get(worker)).answer, 'three')
  await worker.retired(1)
  assert.equal(worker.hasRetired(2), false)
})

test('a generation has not retired when one of its number, given up before, has stopped at last', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  const plan = generation(2, { answer: 'two', stopsLate: true })
  await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  worker.send({ kind: 'discard', generation: 2 })
  await logged(worker, 'stopped two')
  await worker.serve(generation(2, { answer: 'again' }))
  await worker.retired(1)
  assert.equal((await get(worker, '/go')).answer, 'again')
  await logged(worker, 'at rest two')
  // Whatever follows from that is said before the answer to what is asked now.
  await worker.request((id) => ({ kind: 'census', id }))
  assert.equal(worker.hasRetired(2), false)
})

test('a stage that hangs is given up when it is discarded, or when another one comes', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  const hanging = (number: number) =>
    worker.request((id) => ({
      kind: 'stage',
      id,
      plan: packPlan(generation(number, { answer: 'x', hang: number })),
    }))
  const discarded = hanging(2)
  worker.send({ kind: 'discard', generation: 2 })
  const first = await discarded
  assert.match(first.kind === 'stage-failed' ? first.failure.message : '', /Given up: it was discarded/)
  const replaced = hanging(3)
  await worker.serve(generation(4, { answer: 'four' }))
  const second = await replaced
  assert.match(second.kind === 'stage-failed' ? second.failure.message : '', /Given up: another generation/)
  assert.equal((await get(worker)).answer, 'four')
})

test('a stage that is discarded between any two of its steps serves nothing and leaves nothing', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  for (let number = 2; number <= 25; number++) {
    const plan = generation(number, { answer: `given up ${number}` })
    const staged = worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
    for (let turns = number % 6; turns > 0; turns--) await turn()
    worker.send({ kind: 'discard', generation: number })
    await staged
  }
  await worker.serve(generation(30, { answer: 'last' }))
  const count = (what: string): number => worker.log.split(`"message":"${what} given up`).length
  await waitFor(() => count('started') === count('stopped'), 'all that was started to be stopped')
  assert.equal((await get(worker)).answer, 'last')
})

test('a stage that is discarded when its instances have started fails, and they are stopped', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  const plan = generation(2, { answer: 'two', says: { kind: 'discard', generation: 2 } })
  const staged = await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  assert.match(staged.kind === 'stage-failed' ? staged.failure.message : '', /Given up: it was discarded/)
  await logged(worker, 'started two')
  await logged(worker, 'stopped two')
  assert.equal((await get(worker)).answer, 'one')
})

for (const [how, expected] of [
  ['throws', /threw where nobody catches it: too late/],
  ['exits', /process\.exit/],
] as const) {
  test(`a stage fails where a plugin ${how} when its instances have started, and they are stopped`, async (t) => {
    const worker = await start(t)
    const plan = generation(1, { answer: 'one', [how]: true })
    const staged = await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
    assert.equal(staged.kind, 'stage-failed')
    assert.match(staged.kind === 'stage-failed' ? staged.failure.message : '', expected)
    await logged(worker, 'started one')
    await logged(worker, 'stopped one')
  })
}

test('a stage fails where a plugin blocks when its instances have started, and they are stopped', async (t) => {
  const worker = await start(t)
  const plan = generation(1, { answer: 'one', blocks: true })
  const staged = await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  assert.match(staged.kind === 'stage-failed' ? staged.failure.message : '', /blocked the event loop/)
  // What waited for the next turn behind it was lost with it.
  await logged(worker, 'stopped one')
})

test('a stage fails where a timer of a new plugin blocked in the turn in which it ends', async (t) => {
  const worker = await start(t)
  const plan = generation(1, { answer: 'one', blocksInTimer: true })
  const staged = await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  assert.match(staged.kind === 'stage-failed' ? staged.failure.message : '', /blocked the event loop/)
  await logged(worker, 'stopped one')
})

for (const [harms, expected] of [
  ['blocks', /blocked the event loop/],
  ['throws', /threw where nobody catches it: too late/],
] as const) {
  test(`a staged generation whose new plugin ${harms} is stopped, and no commit makes it serve`, async (t) => {
    const live = { ...generation(1, { answer: '' }), routes: BASE.routes, instances: [], bundles: [] }
    const worker = await start(t, live)
    const plan = generation(2, { answer: 'two', harms })
    const stage = () => worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
    assert.equal((await stage()).kind, 'staged')
    worker.send({ kind: 'tracing', on: true })
    await waitFor(() => worker.told.some(({ kind }) => kind === 'fault'), 'the fault to be told')
    const commit = await worker.request((id) => ({ kind: 'commit', id, generation: 2 }))
    assert.match(commit.kind === 'stage-failed' ? commit.failure.message : '', expected)
    await logged(worker, 'stopped two')
    assert.equal((await fetch(`http://127.0.0.1:${worker.port}/`)).status, 404)
    assert.equal(worker.exitCode, null)
  })
}

test('a staged generation whose new plugin is ended while a commit is on its way is not committed', async (t) => {
  const live = { ...generation(1, { answer: '' }), routes: BASE.routes, instances: [], bundles: [] }
  const worker = await start(t, live)
  const plan = generation(2, { answer: 'two', harms: 'blocks' })
  const staged = await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  assert.equal(staged.kind, 'staged')
  worker.send({ kind: 'tracing', on: true })
  await waitFor(() => worker.told.some(({ kind }) => kind === 'skipped'), 'the plugin to block')
  const commit = await worker.request((id) => ({ kind: 'commit', id, generation: 2 }))
  assert.match(commit.kind === 'stage-failed' ? commit.failure.message : '', /blocked the event loop/)
  await logged(worker, 'stopped two')
  assert.equal((await fetch(`http://127.0.0.1:${worker.port}/`)).status, 404)
})

test('a generation retires when its last exchange has ended and what only it used is stopped', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  const waiting = get(worker, '/wait')
  await logged(worker, 'waits')
  await worker.serve(generation(2, { answer: 'two' }))
  await worker.serve(generation(3, { answer: 'two' }))
  await worker.retired(2)
  assert.equal(worker.hasRetired(1), false)
  assert.doesNotMatch(worker.log, /stopped/)
  assert.equal((await get(worker, '/go')).answer, 'two')
  assert.equal((await waiting).answer, 'one')
  await worker.retired(1)
  assert.match(worker.log, /stopped one/)
  assert.doesNotMatch(worker.log, /stopped two/)
})

test('states are told as they are, and live on in the next generation', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  await get(worker)
  const ask = () => worker.request((id) => ({ kind: 'states', id, plugins: ['sample', 'other'] }))
  const first = await ask()
  assert.deepEqual(first.kind === 'states' ? first.states : null, [
    { plugin: 'sample', name: 'hits', version: 1, value: { count: 1 } },
  ])
  await worker.serve(generation(2, { answer: 'two', version: 2 }))
  await worker.retired(1)
  assert.deepEqual(await get(worker), { answer: 'two', hits: 2 })
  const second = await ask()
  assert.deepEqual(second.kind === 'states' ? second.states : null, [
    { plugin: 'sample', name: 'hits', version: 2, value: { count: 2 } },
  ])
})

test('what is quarantined gives its tasks of host.once away before a generation says so', async (t) => {
  const worker = await start(t)
  const plan = generation(1, { answer: 'one', once: true })
  await worker.serve(plan)
  const said = (kind: string): boolean =>
    worker.told.some((message) => message.kind === 'node' && message.request.kind === kind)
  await waitFor(() => said('once-claim'), 'the task to be claimed')
  assert.equal(said('once-release'), false)
  worker.send({ kind: 'quarantine', key: plan.instances[0]?.key ?? '' })
  await waitFor(() => said('once-release'), 'the task to be given away')
})

test('a drain stops what is live and staged, and retires the generation before it is over', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  const plan = generation(2, { answer: 'two' })
  await worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  await worker.ask((id) => ({
    kind: 'drain',
    id,
    bounds: { deadlineMs: 100, closingMs: 250, flushMs: 500, idleGraceMs: 0 },
  }))
  assert.ok(worker.hasRetired(1))
  assert.equal(worker.hasRetired(2), false)
  await waitFor(() => worker.exitCode === 0, 'the worker to end')
  assert.match(worker.log, /stopped one/)
  assert.match(worker.log, /stopped two/)
})

test('a plan that only names code is staged by what lives in the worker, and by nothing else', async (t) => {
  const worker = await start(t, generation(1, { answer: 'one' }))
  const stage = (plan: SlimPlan) => worker.request((id) => ({ kind: 'stage', id, plan: packPlan(plan) }))
  const named = (number: number, config: Config) => {
    const plan = generation(number, config)
    return slimPlan(plan, plan)
  }
  assert.equal((await stage(named(2, { answer: 'two' }))).kind, 'staged')
  await worker.request((id) => ({ kind: 'commit', id, generation: 2 }))
  await worker.retired(1)
  assert.equal((await get(worker)).answer, 'two')
  // Nothing is kept of what nothing runs.
  await worker.serve({ ...generation(3, { answer: '' }), routes: BASE.routes, instances: [], bundles: [] })
  await worker.retired(2)
  const failing = worker.request((id) => ({
    kind: 'stage',
    id,
    plan: packPlan(generation(4, { answer: 'four', hang: true })),
  }))
  const missing = await stage({
    ...named(4, { answer: 'four' }),
    bundles: [{ codeHash: 'other', code: null }],
  })
  assert.equal(missing.kind, 'bundles-missing')
  worker.send({ kind: 'discard', generation: 4 })
  assert.equal((await failing).kind, 'stage-failed')
  assert.equal((await stage(named(4, { answer: 'four' }))).kind, 'bundles-missing')
  assert.equal((await fetch(`http://127.0.0.1:${worker.port}/`)).status, 404)
  await worker.serve(generation(4, { answer: 'four' }))
  assert.equal((await get(worker)).answer, 'four')
})

test('a worker that lost its code, or takes the place of one that ended while it staged, gets all of it', async (t) => {
  const plans: SlimPlan[] = []
  const workers = new Workers((_, message) => {
    worker.send(message)
    if (message.kind === 'stage') plans.push(unpackPlan(message.plan))
  }, new PlanPacker())
  const begin = async (committed: GenerationPlan | null = null): Promise<LoneWorker> => {
    const begun = await start(t, committed)
    begun.onAnswer = (answer) => workers.answered(1, answer)
    return begun
  }
  let worker = await begin()
  workers.spawned(1)
  workers.started(1, 0)
  const serve = async (plan: GenerationPlan): Promise<void> => {
    await workers.stage(plan)
    assert.deepEqual((await workers.commit(plan)).failed, [])
    assert.equal((await get(worker)).answer, plan.instances[0]?.config.answer)
  }
  const carried = () => plans.splice(0).map(({ bundles }) => bundles.map(({ code }) => code !== null))
  await serve(generation(1, { answer: 'one' }))
  await serve(generation(2, { answer: 'two' }))
  assert.deepEqual(carried(), [[true], [false]])
  // Behind the back of the supervisor: nothing of what it gave is there.
  worker = await begin()
  await serve(generation(3, { answer: 'three' }))
  assert.deepEqual(carried(), [[false], [true]])
  const failed = assert.rejects(workers.stage(generation(4, { answer: 'four', hang: true })))
  await logged(worker, 'hangs')
  worker.kill()
  workers.ended(1, 'SIGKILL')
  await failed
  worker = await begin(generation(3, { answer: 'three' }))
  workers.spawned(1)
  workers.started(1, 3)
  await serve(generation(4, { answer: 'four' }))
  assert.deepEqual(carried(), [[false], [true]])
})
