import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { get, problemOf } from './support/answers.ts'
import { type GatewayOptions, startGateway } from './support/gateway.ts'
import { logged, logLines } from './support/log-lines.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** The data plane as it is delivered: `cardea serve`, two workers, plugins from folders. */

/** Each adds its name on both ways. */
const marking = (name: string, priority: number) => ({
  'plugin.json': { name, version: '1.0.0', priority },
  'plugin.ts': `
import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main = () => ({
  name: '${name}',
  handle(ctx) {
    ctx.request.headers.append('x-way-in', '${name}')
    return true
  },
  onResponse(ctx) {
    ctx.response.headers.append('x-way-out', '${name}')
  },
})
`,
})

/** Throws on line 11, and gives an answer of its own elsewhere. */
const BREAKING = {
  'plugin.json': { name: 'breaking', version: '1.0.0', priority: 1 },
  'plugin.ts': `import type { Context, PluginMain as Main } from '@cardea/sdk'

interface Settings {
  readonly path: string
}

const settings: Settings = { path: '/break' }

function check(ctx: Context): void {
  const isBad: boolean = ctx.request.path === settings.path
  if (isBad) throw new TypeError('this request breaks me')
}

export const PluginMain: Main = () => ({
  name: 'breaking',
  handle(ctx) {
    check(ctx)
    return ctx.request.path === '/stop' ? ctx.response.json({ stopped: true }, { status: 418 }) : true
  },
})
`,
}

const plugins: GatewayOptions['plugins'] = {
  second: marking('second', 50),
  first: marking('first', 90),
  breaking: BREAKING,
}

const configFor = (url: string) => ({
  workers: 2,
  upstreams: { app: { targets: [url] } },
  routes: [{ name: 'app', path: '/*', upstream: 'app' }],
})

test('a chain from plugin folders runs in order in both workers, and a throw names plugin.ts and the line', async (t) => {
  const upstream = await RecordingUpstream.start(
    answerEach((request) => {
      const seen = [...request.matchAll(/^x-way-in: (.*)\r$/gm)].map(([, name]) => name).join()
      return `HTTP/1.1 200 OK\r\nX-Seen: ${seen}\r\nContent-Length: 2\r\n\r\nok`
    }),
  )
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startGateway(t, { config: configFor(upstream.url), plugins })
  const served = new Set<string>()
  await waitFor(async () => {
    const connection = await TestConnection.open(t, gateway.port)
    await connection.write(get('/', 'Connection: close\r\n'))
    const answer = await connection.response()
    assert.deepEqual([answer.field('x-seen'), answer.field('x-way-out')], ['first,second', 'second, first'])
    const id = /^x-request-id: [0-9a-f]+-(\d+)-/m.exec(upstream.requests.at(-1) ?? '')?.[1] ?? ''
    served.add(id)
    return served.size === 2
  }, 'an answer of each worker')

  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get('/break') + get('/stop') + get('/'))
  const problem = problemOf(await connection.response())
  assert.deepEqual([problem.status, problem.code], [503, 'HOOK_THREW'])
  assert.ok(!JSON.stringify(problem).includes('breaks me'))
  const stopped = await connection.response()
  assert.deepEqual(
    [stopped.status, stopped.text, stopped.field('x-way-out')],
    [418, '{"stopped":true}', 'second, first'],
  )
  assert.equal((await connection.response()).text, 'ok')

  const line = await logged(gateway, /^handle failed$/)
  assert.equal(line.requestId, problem.id)
  assert.match(
    String(line.stack),
    /TypeError: this request breaks me\n[^\n]*plugins\/breaking\/plugin\.ts:11:/,
  )
  const exit = await gateway.stop()
  assert.deepEqual(exit, { code: 0, signal: null })
  assert.deepEqual(
    logLines(gateway.stderr).filter(({ message }) => /invariant/.test(String(message))),
    [],
  )
})

test('workers have one heap of glibc for all their threads, unless somebody wants it otherwise', {
  skip: process.platform !== 'linux' && 'There is no /proc',
}, async (t) => {
  const heaps = async (env: Record<string, string>): Promise<(string | undefined)[]> => {
    const gateway = await startGateway(t, { config: { workers: 1, routes: [] }, env })
    const found = gateway.pids('cardea: worker').map((pid) => {
      const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
      return variables.find((variable) => variable.startsWith('MALLOC_ARENA_MAX='))
    })
    await gateway.stop()
    return found
  }
  assert.deepEqual(await heaps({ MALLOC_ARENA_MAX: '' }), ['MALLOC_ARENA_MAX=1'])
  assert.deepEqual(await heaps({ MALLOC_ARENA_MAX: '3' }), ['MALLOC_ARENA_MAX=3'])
})

test('a WebSocket passes through the chain of a real gateway, and ends with it', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  t.after(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  server.on('connection', (socket, request) => {
    socket.on('message', (data) => socket.send(`${request.headers['x-way-in']}: ${data}`))
  })
  const { port } = server.address() as AddressInfo
  const gateway = await startGateway(t, { config: configFor(`http://127.0.0.1:${port}`), plugins })
  const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/chat`)
  await once(client, 'open')
  client.send('hello')
  const [message] = await once(client, 'message')
  assert.equal(String(message), 'first, second: hello')
  const refused = new WebSocket(`ws://127.0.0.1:${gateway.port}/stop`)
  const [, response] = await once(refused, 'unexpected-response')
  assert.equal(response.statusCode, 418)
  response.destroy()
  const closed = once(client, 'close')
  client.close()
  await closed
})

test('limits and timeouts of the config reach the data plane', async (t) => {
  const upstream = await RecordingUpstream.start(() => {})
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startGateway(t, {
    config: {
      ...configFor(upstream.url),
      workers: 1,
      upstreams: { app: { targets: [upstream.url], timeouts: { response: '300ms' } } },
      limits: { head_bytes: '1KiB', request_body_bytes: '10B' },
      timeouts: { head: '300ms' },
    },
  })
  const codes: string[] = []
  for (const request of [
    get('/', `X: ${'x'.repeat(2_000)}\r\n`),
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n',
    'GET / HTTP/1.1\r\nHo',
    get(),
  ]) {
    const connection = await TestConnection.open(t, gateway.port)
    await connection.write(request)
    codes.push(problemOf(await connection.response()).code)
  }
  assert.deepEqual(codes, [
    'REQUEST_HEAD_TOO_LARGE',
    'REQUEST_BODY_TOO_LARGE',
    'REQUEST_HEAD_TIMEOUT',
    'UPSTREAM_RESPONSE_TIMEOUT',
  ])
})
