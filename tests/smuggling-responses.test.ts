import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Client } from './smuggling/client.ts'
import { type BadResponse, RESPONSES } from './smuggling/responses.ts'
import { type GatewayOptions, startGateway, type TestGateway } from './support/gateway.ts'
import { type RecordedConnection, RecordingUpstream, splitRequests } from './support/recording-upstream.ts'
import { readStrictResponse } from './support/strict-http.ts'
import { waitFor } from './support/wait-for.ts'

/**
 * Responses that two readers could read in two ways. Two clients share the one connection that the upstream may have:
 * what the first gets is a whole answer, a 502 or a cut; the second always gets its own.
 */

/** An upstream that answers marks with themselves, and lets the test answer the rest. */
class Stage implements AsyncDisposable {
  readonly upstream: RecordingUpstream
  readonly gateway: TestGateway
  #onAttack = Promise.withResolvers<RecordedConnection>()
  /** The last connection on which a mark came. */
  markedOn = -1

  private constructor(upstream: RecordingUpstream, gateway: TestGateway) {
    this.upstream = upstream
    this.gateway = gateway
  }

  static async start(t: TestContext, plugins: GatewayOptions['plugins'] = {}): Promise<Stage> {
    await using undo = new AsyncDisposableStack()
    let stage: Stage | null = null
    const upstream = undo.use(await RecordingUpstream.start((connection) => stage?.serve(connection)))
    const gateway = await startGateway(t, { config: configFor(upstream), plugins })
    stage = new Stage(upstream, gateway)
    undo.move()
    return stage
  }

  serve(connection: RecordedConnection): void {
    for (const request of splitRequests(connection.pending)) {
      connection.take(request.length)
      const mark = /^GET \/(mark\S*)/.exec(request)?.[1]
      if (mark === undefined) this.#onAttack.resolve(connection)
      else {
        this.markedOn = connection.index
        connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${mark.length}\r\n\r\n${mark}`)
      }
    }
    // An early answer: the request is never whole.
    if (connection.pending.startsWith('POST /early')) {
      connection.take(connection.pending.length)
      this.#onAttack.resolve(connection)
    }
    if (connection.ended) connection.end()
  }

  /** Resolves with the connection on which the next request came that has no mark. */
  async attacked(): Promise<RecordedConnection> {
    const connection = await this.#onAttack.promise
    this.#onAttack = Promise.withResolvers()
    return connection
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.upstream[Symbol.asyncDispose]()
  }
}

const configFor = (upstream: RecordingUpstream) => ({
  workers: 1,
  upstreams: { app: { targets: [upstream.url], connections_max: 1, eject: { after: 0 } } },
  routes: [
    { name: 'app', path: '/*', upstream: 'app' },
    { name: 'barrier', path: '/barrier', respond: { status: 204 } },
  ],
  log: { level: 'error' },
})

/** Resolves with what is wrong, or null. */
async function carryOut(
  stage: Stage,
  response: BadResponse,
  mark: string,
  whole: boolean,
): Promise<string | null> {
  const { port } = stage.gateway
  const [first, second, third] = [new Client(port), new Client(port), new Client(port)]
  try {
    await first.send([response.request ?? 'GET /attack HTTP/1.1\r\nHost: a\r\n\r\n'])
    const attacked = await stage.attacked()
    await second.send([`GET /mark-${mark} HTTP/1.1\r\nHost: a\r\n\r\n`])
    // When this is answered the second client waits for the connection.
    await third.send(['GET /barrier HTTP/1.1\r\nHost: a\r\n\r\n'])
    await third.until(() => third.responses(['GET']).length === 1)
    await answer(attacked, response, whole)
    await Promise.all([second.until(() => second.responses(['GET']).length > 0), settled(first, response)])
    const wrong = wrongForFirst(first, response) ?? wrongForSecond(second, mark)
    if (wrong !== null) return wrong
    const reused = stage.markedOn === attacked.index
    if (reused !== (response.outcome === 'fine')) return `the connection is ${reused ? '' : 'not '}used again`
    return null
  } catch (error) {
    return `${error}; received ${JSON.stringify([first.received, second.received])}`
  } finally {
    for (const client of [first, second, third]) client.destroy()
  }
}

async function answer(
  connection: RecordedConnection,
  { bytes, close }: BadResponse,
  whole: boolean,
): Promise<void> {
  for (const piece of whole ? [bytes] : pieces(bytes)) {
    connection.write(piece)
    await turn()
  }
  if (close === true) connection.end()
}

const pieces = (text: string): string[] => (text.length < 500 ? text.split('') : text.split(/(?<=[\r:])/))

/** The first client has all that it will get. */
async function settled(client: Client, { outcome }: BadResponse): Promise<void> {
  if (outcome === 'cut') return client.until(() => client.closed)
  await client.until(() => client.responses(['GET']).length > 0)
  if (client.closed || /\r\nconnection: close\r\n/.test(client.received)) return
  // Nothing is between its answer and the next.
  await client.send(['GET /mark-next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'])
  await client.until(() => client.closed)
}

function wrongForFirst(client: Client, { outcome }: BadResponse): string | null {
  const answers = client.responses(['GET', 'GET'])
  const [answer, next] = answers
  if (outcome === 'cut') {
    // A head that waits to leave together with content is lost with it.
    const isCut = answer === undefined && /^(HTTP\/1.1 200 OK\r\n|$)/.test(client.received)
    return isCut ? null : `the first client got ${JSON.stringify(client.received)}`
  }
  if (client.rest(['GET', 'GET']) !== '') return `the first client got ${JSON.stringify(client.received)}`
  if (next !== undefined && next.body !== 'mark-next') return `then the first client got ${next.body}`
  const { status = 0, body = '' } = answer ?? {}
  if (outcome === 'refused') return status === 502 ? null : `the first client got ${status}`
  const isWhole = (status === 200 && body === 'ok') || ((status === 204 || status === 304) && body === '')
  return isWhole ? null : `the first client got ${status} ${JSON.stringify(body)}`
}

function wrongForSecond(client: Client, mark: string): string | null {
  const body = readStrictResponse(client.received, 'GET', false)?.body
  return body === `mark-${mark}` ? null : `the second client got ${JSON.stringify(client.received)}`
}

/** Holds every response back for a while: what follows its head must wait, and is not lost. */
const HOLD = {
  'plugin.json': { name: 'hold', version: '1.0.0' },
  'plugin.ts': `export const PluginMain = () => ({
    name: 'hold',
    handle: () => true,
    async onResponse() { await new Promise((resolve) => setTimeout(resolve, 0)) },
  })`,
}

for (const [name, plugins] of Object.entries({
  'without plugins': {},
  'held back by a hook': { hold: HOLD },
})) {
  test(`an ambiguous response, ${name}, reaches no one else, nor does its connection`, async (t) => {
    await using stage = await Stage.start(t, plugins)
    const failures: string[] = []
    for (const [index, response] of RESPONSES.entries()) {
      for (const whole of response.wholeOnly === true ? [true] : [true, false]) {
        const wrong = await carryOut(stage, response, `${index}-${whole}`, whole)
        if (wrong !== null) failures.push(`${response.name} (${whole ? 'whole' : 'cut'}): ${wrong}`)
      }
    }
    assert.deepEqual(failures, [])
    assert.equal(stage.gateway.stderr, '')
  })
}

test('a response to a request that is still being sent is the last on its connection', async (t) => {
  await using stage = await Stage.start(t)
  const request = 'POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc'
  const bytes = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  const early: BadResponse = { name: 'early', request, bytes, outcome: 'taken' }
  assert.equal(await carryOut(stage, early, 'early', true), null)
})

test('a response to HEAD that has content is the last on its connection', async (t) => {
  await using stage = await Stage.start(t)
  const [first, second] = [new Client(stage.gateway.port), new Client(stage.gateway.port)]
  await first.send(['HEAD /attack HTTP/1.1\r\nHost: a\r\n\r\n'])
  const attacked = await stage.attacked()
  attacked.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison')
  await first.until(() => first.responses(['HEAD']).length === 1)
  await second.send(['GET /mark-head HTTP/1.1\r\nHost: a\r\n\r\n'])
  await second.until(() => second.responses(['GET']).length === 1)
  assert.equal(first.rest(['HEAD']), '')
  assert.equal(wrongForSecond(second, 'head'), null)
  assert.notEqual(stage.markedOn, attacked.index)
  first.destroy()
  second.destroy()
})

test('what an upstream says unasked between two requests closes the connection', async (t) => {
  await using stage = await Stage.start(t)
  const client = new Client(stage.gateway.port)
  await client.send(['GET /mark-1 HTTP/1.1\r\nHost: a\r\n\r\n'])
  await client.until(() => client.responses(['GET']).length === 1)
  const idle = stage.upstream.connections.at(-1)
  assert.ok(idle !== undefined)
  idle.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison')
  await waitFor(() => idle.ended || idle.closed, 'the gateway to close the connection')
  await client.send(['GET /mark-2 HTTP/1.1\r\nHost: a\r\n\r\n'])
  await client.until(() => client.responses(['GET', 'GET']).length === 2)
  assert.deepEqual(
    client.responses(['GET', 'GET']).map(({ body }) => body),
    ['mark-1', 'mark-2'],
  )
  assert.notEqual(stage.markedOn, idle.index)
  client.destroy()
})
