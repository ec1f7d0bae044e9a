import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { pluginFolder, testGateway } from '@cardea/sdk/testing'
import { ACCESS_LOG, LOG_FILES } from './built-ins/corpus/access-log.ts'
import { BROKEN } from './built-ins/corpus/broken-plugin.ts'
import { CORS } from './built-ins/corpus/cors.ts'
import {
  type CorpusAnswer,
  type CorpusGroup,
  type CorpusRequest,
  comparable,
  upstreamAnswer,
  withoutChance,
} from './built-ins/corpus/exchange.ts'
import { JWT } from './built-ins/corpus/jwt.ts'
import { KEY_AUTH } from './built-ins/corpus/key-auth.ts'
import { RATE_LIMIT } from './built-ins/corpus/rate-limit.ts'
import { STREAMING, STREAMS } from './built-ins/corpus/streams.ts'
import { DEAD_PORTS } from './support/free-port.ts'
import { startGateway } from './support/gateway.ts'
import { withTempDir } from './support/temp-dir.ts'

/**
 * One corpus of requests through the harness of plugin authors and through a gateway that runs: what the harness says of a
 * plugin has to be what clients get.
 */

const GROUPS: readonly CorpusGroup[] = [CORS, ACCESS_LOG, KEY_AUTH, JWT, RATE_LIMIT, STREAMS]
const REQUESTS = GROUPS.flatMap(({ requests }) => requests)
const ROUTES = GROUPS.flatMap(({ routes }) => routes).map(
  (route): Readonly<Record<string, unknown>> => ({ upstream: 'app', ...route }),
)
const BUILT_INS = join(import.meta.dirname, '../plugins')
const NAMES = [...new Set(ROUTES.flatMap(({ plugins }) => Object.keys(plugins ?? {})))]

/** Plugins that are no built-in ones. */
const OWN = { broken: BROKEN, streaming: STREAMING }

interface Outcome {
  readonly answers: readonly CorpusAnswer[]
  /** Lines of the log files. */
  readonly logs: Readonly<Record<string, readonly string[]>>
}

test(`${REQUESTS.length} requests get the same answers from the harness and from a gateway`, async (t) => {
  assert.ok(REQUESTS.length >= 200)
  const harness = await throughHarness()
  const gateway = await throughGateway(t)
  for (const [index, asked] of REQUESTS.entries()) {
    assert.deepEqual(gateway.answers[index], harness.answers[index], JSON.stringify(asked))
  }
  for (const file of LOG_FILES) assert.deepEqual(gateway.logs[file], harness.logs[file], file)
})

async function throughHarness(): Promise<Outcome> {
  await using dir = await withTempDir()
  for (const [name, files] of Object.entries(OWN)) {
    await dir.write({
      [`${name}/plugin.json`]: files['plugin.json'],
      [`${name}/plugin.ts`]: files['plugin.ts'],
    })
  }
  await using gateway = await testGateway({
    plugins: NAMES.map((name) =>
      pluginFolder(existsSync(join(BUILT_INS, name)) ? join(BUILT_INS, name) : join(dir.path, name)),
    ),
    config: { upstreams: { app: { targets: ['http://app.test'] }, dead: { targets: ['http://dead.test'] } } },
    routes: ROUTES,
    upstream: {
      connect: ({ upstream }) => (upstream === 'dead' ? 'refuse' : 'accept'),
      answer: (seen) => upstreamAnswer({ ...seen, headers: seen.fields, body: seen.text() }),
    },
  })
  const answers: CorpusAnswer[] = []
  for (const { url, ...asked } of REQUESTS) {
    const headers = { host: HOST, ...asked.headers }
    const response = await gateway.fetch(url, { ...asked, headers, clientIp: '127.0.0.1' })
    const body = await response.text()
    await response.finished
    answers.push(comparable({ status: response.status, fields: fieldsOf(response.headers), body }))
  }
  await gateway.clock.advance(1_000)
  return { answers, logs: logsOf(LOG_FILES.map((file) => gateway.sink(file))) }
}

async function throughGateway(t: TestContext): Promise<Outcome> {
  const app = `http://127.0.0.1:${await startUpstream(t)}`
  const dead = `http://127.0.0.1:${DEAD_PORTS[0]}`
  const gateway = await startGateway(t, {
    config: {
      workers: 1,
      upstreams: { app: { targets: [app] }, dead: { targets: [dead] } },
      routes: ROUTES.map((route, index) => ({ name: `route-${index + 1}`, ...route })),
    },
    plugins: OWN,
    args: ['--strict'],
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const answers: CorpusAnswer[] = []
  for (const asked of REQUESTS) answers.push(comparable(await send(gateway.port, agent, asked)))
  await gateway.stop()
  const logs = LOG_FILES.map((file) => readFile(join(gateway.dir.path, 'logs', file), 'utf8'))
  return { answers, logs: logsOf((await Promise.all(logs)).map((text) => text.split('\n').slice(0, -1))) }
}

/** The same in both: as sent, and not that of either side's own choice. */
const HOST = 'shop.example'

function logsOf(files: readonly (readonly string[])[]): Outcome['logs'] {
  return Object.fromEntries(LOG_FILES.map((file, index) => [file, (files[index] ?? []).map(withoutChance)]))
}

/** Lines of one name are one value, but for Set-Cookie (RFC 9110, 5.3). */
function fieldsOf(headers: Headers): string[] {
  return [...headers].map(([name, value]) => `${name}: ${value}`).sort()
}

async function send(port: number, agent: Agent, asked: CorpusRequest): Promise<CorpusAnswer> {
  const { method = 'GET', url, body } = asked
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const headers = { host: HOST, ...asked.headers, ...length }
  const sent = request({ port, host: '127.0.0.1', agent, method, path: url, headers })
  sent.end(body)
  const [response] = await once(sent, 'response')
  return {
    status: response.statusCode,
    fields: fieldsOf(new Headers(pairsOf(response.rawHeaders))),
    body: (await buffer(response)).toString(),
  }
}

async function startUpstream(t: TestContext): Promise<number> {
  const server = createServer(async (incoming, response) => {
    // One that the gateway breaks off gets no answer.
    const body = await text(incoming).catch(() => null)
    if (body === null) return
    const { method = '', url = '' } = incoming
    const headers = pairsOf(incoming.rawHeaders).map(([name, value]) => [name.toLowerCase(), value] as const)
    const says = upstreamAnswer({ method, url, headers, body })
    const length: [string, string][] = [204, 304].includes(says.status)
      ? []
      : [['content-length', String(Buffer.byteLength(says.body))]]
    response.sendDate = false
    response.writeHead(says.status, [...says.headers, ...length].flat())
    // Together with text, Node would write the head in UTF-8.
    response.end(Buffer.from(says.body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

function pairsOf(raw: readonly string[]): [name: string, value: string][] {
  return Array.from({ length: raw.length / 2 }, (_, index) => [
    raw[index * 2] ?? '',
    raw[index * 2 + 1] ?? '',
  ])
}
