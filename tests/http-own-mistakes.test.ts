import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { GatewayError } from '../packages/gateway/src/base/errors.ts'
import { Exchange } from '../packages/gateway/src/data-plane/exchange.ts'
import { UpstreamConnection } from '../packages/gateway/src/data-plane/http1/upstream-connection.ts'
import type { UpstreamResponse } from '../packages/gateway/src/data-plane/streams.ts'
import { Http1Leg } from '../packages/gateway/src/data-plane/upstream/http1-leg.ts'
import { get, ok } from './support/answers.ts'
import { startDataPlane, type TestDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/**
 * A mistake of ours, in whatever an event of a socket leads to, costs the connection it happened on: nothing escapes
 * to the process, where it would end the worker. The mistakes are put in here, into one method at a time.
 */

const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
const UPGRADE = get('/mistake', 'Connection: Upgrade\r\nUpgrade: echo\r\n')
const MISTAKE = new Error('a mistake')

async function gatewayWith(t: TestContext, script: UpstreamScript) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url })
  const bystander = await TestConnection.open(t, gateway.port)
  await bystander.request('GET', '/')
  assert.equal((await bystander.response()).text, 'ok')
  return { ...gateway, upstream, bystander, culprit: await TestConnection.open(t, gateway.port) }
}

/** The method throws for exchanges of `/mistake`, and does its work for all others. */
function breakMethod(t: TestContext, name: 'onTunnelEnd' | 'onClientClosed') {
  const original = Exchange.prototype[name] as (this: Exchange, ...args: unknown[]) => unknown
  t.mock.method(Exchange.prototype, name, function (this: Exchange, ...args: unknown[]) {
    if (this.head.target === '/mistake') throw MISTAKE
    return original.apply(this, args)
  })
}

function mistakes({ logged }: Pick<TestDataPlane, 'logged'>): number {
  return logged.filter(({ fields }) => fields.code === 'INTERNAL_ERROR').length
}

async function stillServes(bystander: TestConnection): Promise<void> {
  await bystander.request('GET', '/')
  assert.equal((await bystander.response()).text, 'ok')
}

const echoOrOk: UpstreamScript = answerEach((request) =>
  request.includes('Upgrade') || request.includes('upgrade') ? SWITCHED : ok(),
)

test('a mistake when the client ends a tunnel costs the tunnel only', async (t) => {
  const served = await gatewayWith(t, echoOrOk)
  breakMethod(t, 'onTunnelEnd')
  await served.culprit.write(UPGRADE)
  assert.equal((await served.culprit.response()).status, 101)
  served.culprit.socket.end()
  await once(served.culprit.socket, 'close')
  assert.equal(mistakes(served), 1)
  await waitFor(() => served.plane.counters().exchanges === 0, 'the exchange to end')
  await stillServes(served.bystander)
})

test('a mistake when the client is gone costs nobody else anything', async (t) => {
  const served = await gatewayWith(t, (connection) => {
    if (!connection.pending.includes('/mistake')) answerEach(ok())(connection)
  })
  breakMethod(t, 'onClientClosed')
  await served.culprit.request('GET', '/mistake')
  await waitFor(() => served.upstream.requests.length === 2, 'the request to reach the upstream')
  served.culprit.socket.destroy()
  await waitFor(() => mistakes(served) === 1, 'the mistake to be logged')
  await stillServes(served.bystander)
})

test('a mistake that is made again and again does not fill the log', async (t) => {
  const served = await gatewayWith(t, echoOrOk)
  breakMethod(t, 'onTunnelEnd')
  for (let count = 0; count < 5; count++) {
    const culprit = await TestConnection.open(t, served.port)
    await culprit.write(UPGRADE)
    assert.equal((await culprit.response()).status, 101)
    culprit.socket.end()
    await once(culprit.socket, 'close')
  }
  await waitFor(() => served.plane.counters().exchanges === 0, 'the exchanges to end')
  assert.equal(mistakes(served), 1)
  await served.plane.drain(0)
  assert.equal(mistakes(served), 2)
  assert.equal(served.logged.at(-1)?.fields.count, 4)
})

for (const name of ['onAcquired', 'onLost'] as const) {
  test(`a mistake in ${name}() of a leg costs nobody else anything`, async (t) => {
    const served = await gatewayWith(t, (connection) => {
      if (connection.pending.includes('/mistake')) connection.reset()
      else answerEach(ok())(connection)
    })
    // The bystander's connection is idle: let it be another that is opened for the culprit.
    const original = Http1Leg.prototype[name] as (this: Http1Leg, ...args: unknown[]) => unknown
    let broken = 0
    t.mock.method(Http1Leg.prototype, name, function (this: Http1Leg, ...args: unknown[]) {
      if (broken++ < 1) throw MISTAKE
      return original.apply(this, args)
    })
    await served.culprit.request('GET', '/mistake')
    await waitFor(() => mistakes(served) > 0, 'the mistake to be logged')
    await stillServes(served.bystander)
  })
}

const HALF = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf'

/** Two targets that answer with their names, of which the first has taken a request that ended badly in the gateway itself. */
async function twoTargets(t: TestContext) {
  const [first, second] = await Promise.all(
    ['first', 'second'].map(async (name) => {
      const upstream = await RecordingUpstream.start(
        answerEach((request) => (request.startsWith('GET /half ') ? HALF : ok(name))),
      )
      t.after(() => upstream[Symbol.asyncDispose]())
      return upstream.url
    }),
  )
  const gateway = await startDataPlane(t, {
    to: [first ?? '', second ?? ''],
    upstream: { ejectAfterFailures: 1, ejectMs: 600_000 },
  })
  const client = await TestConnection.open(t, gateway.port)
  const answers = async (): Promise<string[]> => {
    const texts: string[] = []
    for (let count = 0; count < 4; count++) {
      await client.request('GET', '/')
      texts.push((await client.response()).text)
    }
    return texts
  }
  return { ...gateway, answers, culprit: await TestConnection.open(t, gateway.port) }
}

test('a mistake of ours ejects no target', async (t) => {
  const served = await twoTargets(t)
  const original = Exchange.prototype.onUpstreamHead
  t.mock.method(Exchange.prototype, 'onUpstreamHead', function (this: Exchange, ...args: [UpstreamResponse]) {
    if (this.head.target === '/mistake') throw MISTAKE
    original.apply(this, args)
  })
  await served.culprit.request('GET', '/mistake')
  assert.equal((await served.culprit.response()).status, 500)
  assert.deepEqual(await served.answers(), ['second', 'first', 'second', 'first'])
})

test('a plugin that is ended while content is decoded ejects no target, and nothing is said of the upstream', async (t) => {
  const served = await twoTargets(t)
  const error = new GatewayError('PLUGIN_STALLED', undefined, { plugin: 'blocker' })
  const original = UpstreamConnection.prototype.onBodyData
  const mends: ((error: GatewayError) => void)[] = []
  t.mock.method(
    UpstreamConnection.prototype,
    'onBodyData',
    function (this: UpstreamConnection, ...args: [Buffer, number, number]) {
      // As the watchdog does it: the stack ends here, and what was left undone is mended in a later turn.
      if (mends.length === 0) {
        mends.push(served.plane.seize(['plugin', this], () => new Set()))
      } else original.apply(this, args)
    },
  )
  await served.culprit.request('GET', '/half')
  await waitFor(() => mends.length === 1, 'the content to come')
  mends[0]?.(error)
  assert.equal(await served.culprit.reader.end(), 'reset')
  assert.deepEqual(served.logged, [])
  assert.deepEqual(await served.answers(), ['second', 'first', 'second', 'first'])
})
