import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { WebSocketServer } from 'ws'
import { type GatewayOptions, startGateway, type TestGateway } from '../support/gateway.ts'
import { TestConnection } from '../support/test-connection.ts'
import { BLOCKER, type Form, type Hook } from './blocker.ts'

/** One instance that blocks, on a route of its own. */
export interface Case {
  readonly hook: Hook
  readonly form: Form
  readonly category?: 'security' | 'observe'
}

/** Where no hook is on the stack, all instances of the same code are to blame: such a case has its code for itself. */
const isAlone = ({ hook, form }: Case): boolean => form === 'promises' || HOOKLESS.has(hook)

const HOOKLESS: ReadonlySet<Hook> = new Set(['timer', 'afterAwait', 'listener'])

export const nameOf = ({ hook, form, category = 'security' }: Case): string =>
  `${hook}-${form}-${category}`.toLowerCase()

const folderOf = (one: Case): string =>
  isAlone(one) ? `alone-${nameOf(one)}` : `blocker-${one.category ?? 'security'}`

/** Answers who serves. */
const WHO = {
  'plugin.json': { name: 'who', version: '1.0.0', scope: 'route' },
  'plugin.ts': `export const PluginMain = () => ({
    name: 'who',
    handle: (ctx) => ctx.response.json({ pid: process.pid }),
  })`,
}

/** An application: content, a stream of events that goes on when told to, and an echo over WebSocket. */
export interface App {
  readonly url: string
  /** Sends one event to everybody who listens. */
  sendEvent(text: string): void
  /** How much of the last request for `path` has come. */
  bytesOf(path: string): number
}

async function startApp(t: TestContext): Promise<App> {
  const streams = new Set<ServerResponse>()
  const bytesOf = new Map<string | undefined, number>()
  const server = createServer((request, response) => {
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      bytesOf.set(request.url, bytes)
    })
    if (request.url === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(': hello\n\n')
      streams.add(response)
      response.on('close', () => streams.delete(response))
      return
    }
    request.on('end', () => {
      if (request.headers['x-fail'] === undefined) response.end(`got ${bytes} bytes`)
      else request.socket.destroy()
    })
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const client of sockets.clients) client.terminate()
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sendEvent(text) {
      for (const stream of streams) stream.write(`data: ${text}\n\n`)
    },
    bytesOf: (path) => bytesOf.get(path) ?? 0,
  }
}

export interface Stage {
  readonly gateway: TestGateway
  readonly app: App
}

export const STALL_MS = 400

export async function startStage(
  t: TestContext,
  cases: readonly Case[],
  { config = {}, env = {} }: Partial<Pick<GatewayOptions, 'env'>> & { readonly config?: object } = {},
): Promise<Stage> {
  const app = await startApp(t)
  const plugins: Record<string, Record<string, string | Record<string, unknown>>> = { who: WHO }
  for (const one of cases) {
    plugins[folderOf(one)] = {
      'plugin.json': {
        name: folderOf(one),
        version: '1.0.0',
        scope: 'route',
        category: one.category ?? 'security',
        config: { hook: '', form: '' },
      },
      'plugin.ts': BLOCKER,
    }
  }
  const options: GatewayOptions = {
    config: {
      workers: 2,
      upstreams: { app: { targets: [app.url] } },
      routes: [
        { name: 'app', path: '/*', upstream: 'app' },
        { name: 'who', path: '/who', upstream: 'app', plugins: { who: {} } },
        ...cases.map((one) => ({
          name: nameOf(one),
          path: `/block/${nameOf(one)}`,
          upstream: 'app',
          plugins: {
            [nameOf(one)]: { plugin: folderOf(one), config: { hook: one.hook, form: one.form } },
          },
        })),
      ],
      faults: { stall: `${STALL_MS}ms` },
      ...config,
    },
    plugins,
    env,
  }
  return { gateway: await startGateway(t, options), app }
}

/** Which process serves this connection. */
async function workerOf(connection: TestConnection): Promise<number> {
  await connection.request('GET', '/who')
  const response = await connection.response()
  return (JSON.parse(response.text) as { pid: number }).pid
}

/** Connections of one worker that have nothing to do with what blocks it. */
export interface Neighbours {
  readonly pid: number
  /** On the same worker: for the request that blocks. */
  readonly victim: TestConnection
  /** To be called while the worker is blocked: each asks for something. */
  ask(): Promise<void>
  /** Resolves when all have got it, of the same process. */
  areServed(): Promise<void>
  close(): void
}

/** New connections until four of one worker are there. */
export async function meetNeighbours(t: TestContext, { gateway, app }: Stage): Promise<Neighbours> {
  const byWorker = new Map<number, TestConnection[]>()
  for (;;) {
    const connection = await TestConnection.open(t, gateway.port)
    const pid = await workerOf(connection)
    const group = [...(byWorker.get(pid) ?? []), connection]
    byWorker.set(pid, group)
    const [victim, kept, stream, tunnel] = group
    if (victim === undefined || kept === undefined || stream === undefined || tunnel === undefined) continue
    const all = [...byWorker.values()].flat()
    await stream.request('GET', '/events')
    await stream.reader.takeThrough(': hello')
    await openTunnel(tunnel)
    return {
      pid,
      victim,
      async ask() {
        await Promise.all([kept.request('GET', '/who'), tunnel.write(textFrame('still here', true))])
        app.sendEvent('still here')
      },
      async areServed() {
        const [answer, , echo] = await Promise.all([
          kept.response(),
          stream.reader.takeThrough('data: still here\n\n'),
          tunnel.reader.take(textFrame('still here', false).length),
        ])
        assert.equal((JSON.parse(answer.text) as { pid: number }).pid, pid)
        assert.deepEqual(echo, textFrame('still here', false))
      },
      close() {
        for (const { socket } of all) socket.destroy()
      },
    }
  }
}

async function openTunnel(connection: TestConnection): Promise<void> {
  await connection.request('GET', '/socket', [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  ])
  assert.equal((await connection.response()).status, 101)
}

/** RFC 6455, 5.2: one short text; a client's mask of zeros leaves it as it is. */
function textFrame(text: string, isMasked: boolean): Buffer {
  const head = isMasked ? [0x81, 0x80 | text.length, 0, 0, 0, 0] : [0x81, text.length]
  return Buffer.concat([Buffer.from(head), Buffer.from(text)])
}
