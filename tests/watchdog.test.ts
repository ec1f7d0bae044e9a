import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { get, post, problemOf } from './support/answers.ts'
import { startGateway } from './support/gateway.ts'
import { logged, logLines } from './support/log-lines.ts'
import { killProcesses, signalProcesses } from './support/processes.ts'
import { withTempDir } from './support/temp-dir.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'
import { FORMS, placeOf } from './watchdog/blocker.ts'
import { type Case, meetNeighbours, nameOf, STALL_MS, type Stage, startStage } from './watchdog/stage.ts'

/** A plugin that blocks the event loop of a worker is ended, and nobody but its own exchange notices. */

const WORKER = 'cardea: worker'

/** What a request was answered; null when its connection was cut. */
type Answer = { readonly status: number; readonly said: string } | null

interface Outcome {
  /** Of the request that blocked. */
  readonly answer: Answer
  /** Of a later one for the same route. */
  readonly later: Answer
}

const STALLED: Answer = { status: 503, said: 'PLUGIN_STALLED' }
const QUARANTINED: Answer = { status: 503, said: 'PLUGIN_QUARANTINED' }
const SERVED: Answer = { status: 200, said: 'got 12 bytes' }
const BODY = 'some content'

/** Has one case block a worker, sees to its neighbours, and waits until it is replaced. */
async function block(t: TestContext, stage: Stage, one: Case): Promise<Outcome> {
  const { gateway } = stage
  const neighbours = await meetNeighbours(t, stage)
  const fails = one.hook === 'onError' ? 'X-Fail: yes\r\n' : ''
  const blockedAt = Date.now()
  await neighbours.victim.write(post(BODY, `/block/${nameOf(one)}`, fails))
  const answer = await answerOn(neighbours.victim)
  await neighbours.ask()
  await neighbours.areServed()

  await isQuarantined(stage, nameOf(one))
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get(`/block/${nameOf(one)}`, 'Connection: close\r\n'))
  const later = await answerOn(connection)

  const line = await stallOf(stage, nameOf(one))
  assert.match(
    String(line.message),
    new RegExp(`^Plugin "${nameOf(one)}" blocked the event loop for [\\d,]+ ms`),
  )
  assert.match(String(line.stack), placeOf(one.form))
  const told = await logged(gateway, new RegExp(`^Plugin fault: "${nameOf(one)}" blocked`))
  const [endedMs, freeMs] = [line, told].map(({ time }) => Date.parse(String(time)) - blockedAt)
  t.diagnostic(`ended after ${endedMs} ms, all workers told after ${freeMs} ms; the limit is ${STALL_MS} ms`)

  neighbours.close()
  await waitFor(
    () => gateway.pids(WORKER).length === 2 && !gateway.pids(WORKER).includes(neighbours.pid),
    'the worker to be replaced',
  )
  return { answer, later }
}

const stallOf = ({ gateway }: Stage, plugin: string) =>
  waitFor(
    () =>
      logLines(gateway.stderr).find(
        (line) => line.code === 'PLUGIN_STALLED' && line.plugin === plugin && line.requestId === undefined,
      ),
    `the stall of ${plugin} in the log`,
  )

/** In all workers: that is a generation of its own. */
const isQuarantined = ({ gateway }: Stage, instance: string) =>
  waitFor(
    () =>
      logLines(gateway.stderr).some((line) =>
        String(line.message).includes(` live: ${instance} quarantined`),
      ),
    `${instance} to be quarantined`,
  )

async function answerOn(connection: TestConnection): Promise<Answer> {
  try {
    const response = await connection.response()
    const isProblem = response.field('content-type') === 'application/problem+json'
    return { status: response.status, said: isProblem ? problemOf(response).code : response.text }
  } catch {
    return null
  }
}

/** One gateway, one case after the other. */
async function blockAll(
  t: TestContext,
  cases: readonly Case[],
  expected: (one: Case) => Outcome,
): Promise<void> {
  const stage = await startStage(t, cases)
  for (const one of cases) {
    await t.test(nameOf(one), async (t) => {
      assert.deepEqual(await block(t, stage, one), expected(one))
    })
  }
  assert.deepEqual(await stage.gateway.stop(), { code: 0, signal: null })
}

test('a handle of a security plugin that blocks is ended, whatever it does, and its request refused', async (t) => {
  const forms = [...FORMS, 'swallow', 'recurse', 'wait'] as const
  await blockAll(
    t,
    forms.map((form) => ({ hook: 'handle', form })),
    () => ({ answer: STALLED, later: QUARANTINED }),
  )
})

test('an onResponse that blocks is ended, and the response replaced', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'onResponse', form })),
    () => ({ answer: STALLED, later: QUARANTINED }),
  )
})

test('an onFinish that blocks is ended, and the response has left', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'onFinish', form })),
    () => ({ answer: SERVED, later: QUARANTINED }),
  )
})

test('a transform of a request that blocks is ended, and the request refused', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'requestTransform', form })),
    () => ({ answer: STALLED, later: QUARANTINED }),
  )
})

test('a transform of a response that blocks is ended, and the response cut', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'responseTransform', form })),
    () => ({ answer: null, later: QUARANTINED }),
  )
})

test('a callback of a host timer that blocks is ended', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'timer', form })),
    () => ({ answer: SERVED, later: QUARANTINED }),
  )
})

test('an onError, a listener of ctx.signal, and a handle after its first await are ended', async (t) => {
  const answers: Readonly<Record<string, Answer>> = {
    onError: { status: 502, said: 'UPSTREAM_CLOSED' },
    listener: SERVED,
    afterAwait: STALLED,
  }
  await blockAll(
    t,
    [
      { hook: 'onError', form: 'spin' },
      { hook: 'listener', form: 'spin' },
      { hook: 'afterAwait', form: 'spin' },
    ],
    ({ hook }) => ({ answer: answers[hook] ?? null, later: QUARANTINED }),
  )
})

test('an observe plugin that blocks is ended, and its request goes on without it, content and all', async (t) => {
  const category = 'observe'
  await blockAll(
    t,
    [
      { hook: 'handle', form: 'spin', category },
      { hook: 'handle', form: 'promises', category },
      { hook: 'onResponse', form: 'spin', category },
      { hook: 'onFinish', form: 'spin', category },
    ],
    () => ({ answer: SERVED, later: { status: 200, said: 'got 0 bytes' } }),
  )
})

test('what is answered in the turn in which the next request of the connection blocks is finished too', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get('/') + get(`/block/${nameOf(one)}`) + get('/'))
  assert.equal((await connection.response()).text, 'got 0 bytes')
  assert.deepEqual(await answerOn(connection), STALLED)
  await connection.reader.takeRest()
  await logged(gateway, /^The replaced worker has ended$/)
  assert.ok(!gateway.stderr.includes('were cut'))
})

test('a stall that the supervisor never heard of is not lost on the one that follows', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  const supervisors = gateway.pids('cardea: supervisor')
  signalProcesses(supervisors, 'SIGSTOP')
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get(`/block/${nameOf(one)}`))
  assert.deepEqual(await answerOn(connection), STALLED)
  await stallOf(stage, nameOf(one))
  await killProcesses(supervisors)
  await isQuarantined(stage, nameOf(one))
})

test('a native call that does not return costs its worker, and its plugin is quarantined all the same', async (t) => {
  const one: Case = { hook: 'handle', form: 'native' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(post(BODY, `/block/${nameOf(one)}`))
  assert.equal(await answerOn(connection), null)
  const line = await logged(
    gateway,
    /^Worker \d is ended by its watchdog: its main thread is in a native call/,
  )
  assert.equal(line.plugin, nameOf(one))
  await isQuarantined(stage, nameOf(one))
  const later = await TestConnection.open(t, gateway.port)
  await later.write(get(`/block/${nameOf(one)}`))
  assert.deepEqual(await answerOn(later), QUARANTINED)
})

test('a PluginMain that blocks in a worker that starts is ended, and the next one starts without it', async (t) => {
  const one: Case = { hook: 'start', form: 'spin' }
  await using dir = await withTempDir()
  const stage = await startStage(t, [one], { env: { BLOCKER_FLAG: join(dir.path, 'flag') } })
  const { gateway } = stage
  await dir.write({ flag: '' })
  const [killed = 0, kept = 0] = gateway.pids(WORKER)
  await killProcesses([killed])
  const line = await stallOf(stage, nameOf(one))
  assert.match(String(line.stack), placeOf(one.form))
  await isQuarantined(stage, nameOf(one))
  await waitFor(
    () => gateway.pids(WORKER).length === 2 && gateway.pids(WORKER).includes(kept),
    'another worker to stay',
  )
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get(`/block/${nameOf(one)}`))
  assert.deepEqual(await answerOn(connection), QUARANTINED)
})

/** Blocks in the very turn in which its generation goes live, in workers only: the trial lets it pass. */
const MIGRATING = `export const PluginMain = (config, host) => {
  host.state('counter', 2, () => {
    if (process.title.startsWith('cardea: worker')) for (;;);
    return {}
  })
  return { name: 'blocker', handle: () => true }
}
`

test('a migration of state that blocks is ended; its generation is served, without its plugin', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  await gateway.dir.write({ 'plugins/blocker-security/plugin.ts': MIGRATING })
  await isQuarantined(stage, nameOf(one))
  const connection = await TestConnection.open(t, gateway.port)
  await waitFor(async () => {
    const another = await TestConnection.open(t, gateway.port)
    await another.write(get(`/block/${nameOf(one)}`, 'Connection: close\r\n'))
    const answer = await answerOn(another)
    return answer?.said === 'PLUGIN_QUARANTINED'
  }, 'the new code to be quarantined')
  await connection.write(get('/'))
  assert.equal((await connection.response()).text, 'got 0 bytes')
})

test('a stall limit can be set while the gateway runs', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one], { config: { faults: { stall: '1h' } } })
  const { gateway } = stage
  const config = await readFile(join(gateway.dir.path, 'cardea.yaml'), 'utf8')
  await gateway.dir.write({ 'cardea.yaml': config.replace('"1h"', '"300ms"') })
  await logged(gateway, /^Generation 2 is live/)
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get(`/block/${nameOf(one)}`))
  assert.deepEqual(await answerOn(connection), STALLED)
})

test('a worker that was suspended is not taken for one that a plugin blocks', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  const workers = gateway.pids(WORKER)
  signalProcesses(workers, 'SIGSTOP')
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get('/'))
  const end = performance.now() + 3 * STALL_MS
  await waitFor(
    () => performance.now() > end,
    'longer than the limit, by the clock of everybody but the workers',
  )
  signalProcesses(workers, 'SIGCONT')
  assert.equal((await connection.response()).text, 'got 0 bytes')
  assert.deepEqual(gateway.pids(WORKER), workers)
  assert.ok(!gateway.stderr.includes('PLUGIN_STALLED'))
})

/** Its callback is code that no file holds, so nobody can say whose it is. */
const NAMELESS = {
  'plugin.json': { name: 'nameless', version: '1.0.0', scope: 'route' },
  'plugin.ts': `export const PluginMain = (config, host) => ({
    name: 'nameless',
    handle(ctx) {
      setTimeout(new Function('for (;;);'), 0)
      return ctx.response.json({})
    },
  })`,
}

test('what blocks and is no plugin by its stack is logged and not ended', async (t) => {
  const gateway = await startGateway(t, {
    config: {
      workers: 2,
      routes: [{ name: 'nameless', path: '/*', respond: { status: 200 }, plugins: { nameless: {} } }],
      faults: { stall: '300ms' },
      timeouts: { drain: '1s' },
    },
    plugins: { nameless: NAMELESS },
  })
  const workers = gateway.pids(WORKER)
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get('/'))
  const line = await logged(gateway, /^The event loop of worker \d stands still, and no plugin is to blame$/)
  assert.ok(Array.isArray(line.where))
  assert.deepEqual(gateway.pids(WORKER), workers)
  assert.deepEqual(await gateway.stop(), { code: 1, signal: null })
})
