import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { BadClient, MISBEHAVIOURS, type Misbehaviour, seeded } from './isolation/misbehaviour.ts'
import { Client } from './smuggling/client.ts'
import { lineOf } from './smuggling/stage.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { type RecordedConnection, RecordingUpstream } from './support/recording-upstream.ts'
import { readStrictRequest, type StrictRequest } from './support/strict-http.ts'
import { waitFor } from './support/wait-for.ts'

/** While some clients do the worst they can on the one worker, every request of the others gets its own answer. */

const GOOD_LANES = 6
const REQUESTS_PER_LANE = 100
/** Then a new connection is opened. */
const REQUESTS_PER_CONNECTION = 20
/** After so many good requests a bad client of each kind joins in, and stays as long as it can. */
const REQUESTS_PER_WAVE = 60

/** Past what kernel and gateway buffer: whoever does not read it holds it up. */
const BIG_BODY = Buffer.alloc(12 * 1024 * 1024, 'x')

function serve(connection: RecordedConnection): void {
  for (let request = next(connection); request !== null; request = next(connection)) {
    if (request.target === '/never') continue
    const body = request.target === '/big' ? BIG_BODY : Buffer.from(lineOf(request), 'latin1')
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
    connection.write(body)
  }
  if (connection.ended) connection.end()
}

function next(connection: RecordedConnection): StrictRequest | null {
  const request = readStrictRequest(connection.pending)
  if (request !== null) connection.take(request.length)
  return request
}

/** Requests of each framing, one after the other, each with content of its own. */
function requestOf(lane: number, index: number): { readonly bytes: string; readonly line: string } {
  const mark = `${lane}-${index}`
  const start = `/good-${mark} HTTP/1.1\r\nHost: good\r\n`
  const body = `${mark}:`.repeat(index % 50)
  switch (index % 3) {
    case 0:
      return { bytes: `GET ${start}\r\n`, line: `GET /good-${mark} ` }
    case 1:
      return {
        bytes: `POST ${start}Content-Length: ${body.length}\r\n\r\n${body}`,
        line: `POST /good-${mark} ${body}`,
      }
    default:
      return {
        bytes: `PUT ${start}Transfer-Encoding: chunked\r\n\r\n${chunk(body)}0\r\n\r\n`,
        line: `PUT /good-${mark} ${body}`,
      }
  }
}

const chunk = (text: string): string => (text === '' ? '' : `${text.length.toString(16)}\r\n${text}\r\n`)

/** Resolves with what went wrong, or null. */
async function goodExchange(client: Client, lane: number, index: number): Promise<string | null> {
  const { bytes, line } = requestOf(lane, index)
  client.received = ''
  await client.send([bytes])
  await client.until(() => client.responses(['GET']).length === 1)
  const [answer] = client.responses(['GET'])
  const isRight = answer?.status === 200 && answer.body === line && client.rest(['GET']) === ''
  return isRight ? null : `${line}: ${JSON.stringify(client.received)}`
}

/** Resolves with what went wrong. */
async function goodLane(port: number, lane: number, onAnswered: () => void = () => {}): Promise<string[]> {
  const wrong: string[] = []
  let client = new Client(port)
  for (let index = 0; index < REQUESTS_PER_LANE; index++) {
    if (index % REQUESTS_PER_CONNECTION === 0) {
      client.destroy()
      client = new Client(port)
    }
    const what = await goodExchange(client, lane, index)
    if (what !== null) wrong.push(what)
    onAnswered()
  }
  client.destroy()
  return wrong
}

async function openBadClient(port: number, behave: Misbehaviour, seed: number): Promise<BadClient> {
  const client = await BadClient.open(port)
  await behave(client, seeded(seed))
  return client
}

async function withBadClients(gateway: TestGateway): Promise<void> {
  const { port } = gateway
  const worker = gateway.pids('cardea: worker')
  const bad: Promise<BadClient>[] = []
  const wave = (): void => {
    for (const behave of Object.values(MISBEHAVIOURS)) bad.push(openBadClient(port, behave, bad.length))
  }
  wave()
  let answered = 0
  const onAnswered = (): void => {
    if (++answered % REQUESTS_PER_WAVE === 0) wave()
  }
  const lanes = Array.from({ length: GOOD_LANES }, (_, lane) => goodLane(port, lane, onAnswered))
  try {
    assert.deepEqual((await Promise.all(lanes)).flat(), [])
  } finally {
    for (const client of await Promise.all(bad)) client.destroy()
  }
  assert.ok(bad.length > 200)
  assert.deepEqual(gateway.pids('cardea: worker'), worker)
  assert.equal(gateway.stderr, '')
}

function startIsolated(t: TestContext, upstream: RecordingUpstream, more: object = {}): Promise<TestGateway> {
  return startGateway(t, {
    config: {
      workers: 1,
      upstreams: { app: { targets: [upstream.url] } },
      routes: [{ name: 'app', path: '/*', upstream: 'app' }],
      log: { level: 'error' },
      ...more,
    },
  })
}

test('garbage, slowness and disconnects of some clients never disturb the requests of others', async (t) => {
  await using upstream = await RecordingUpstream.start(serve)
  await withBadClients(await startIsolated(t, upstream))
})

test('clients that are cut for their slowness take no others with them', async (t) => {
  await using upstream = await RecordingUpstream.start(serve)
  // For the good client they mean nothing: each of its requests leaves whole, on a connection that has served before.
  const timeouts = { head: '200ms', body: '200ms', send: '200ms' }
  const gateway = await startIsolated(t, upstream, { timeouts })
  const good = new Client(gateway.port)
  const wrong = [await goodExchange(good, 0, 0)]
  const slow: BadClient[] = []
  const { stallInHead, stallInBody, stallInChunk, readNothing } = MISBEHAVIOURS
  for (const behave of [stallInHead, stallInBody, stallInChunk, readNothing]) {
    if (behave !== undefined) slow.push(await openBadClient(gateway.port, behave, 1))
  }
  const unread = (): boolean =>
    upstream.connections.some((one) => !one.closed && one.received.includes('/big'))
  // Who does not read does not see that it was cut either; the upstream does.
  for (let index = 1; !slow.slice(0, 3).every((client) => client.ended) || unread(); index++) {
    wrong.push(await goodExchange(good, 0, index))
  }
  assert.deepEqual(
    wrong.filter((what) => what !== null),
    [],
  )
  assert.equal(slow.length, 4)
  for (const client of [good, ...slow]) client.destroy()
})

test('bad clients leave no connection to the upstream behind that still sends or waits', async (t) => {
  await using upstream = await RecordingUpstream.start(serve)
  const gateway = await startIsolated(t, upstream)
  for (const [index, behave] of Object.values(MISBEHAVIOURS).entries()) {
    const client = await openBadClient(gateway.port, behave, index)
    client.destroy()
  }
  // What is left is idle: it has got whole requests only, and serves the next.
  await waitFor(
    () => upstream.connections.every(({ closed, ended, pending }) => closed || ended || pending === ''),
    'connections with half a request to be closed',
  )
  assert.deepEqual(await goodLane(gateway.port, 0), [])
})
