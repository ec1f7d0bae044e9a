import assert from 'node:assert/strict'
import { chmod, lstat, mkdir, rename, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type TestControl, testControl } from '../../../../tests/support/control-server.ts'
import { withTempDir } from '../../../../tests/support/temp-dir.ts'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { GatewayError } from '../base/errors.ts'
import { controlSocketPath } from '../control-plane/control-path.ts'
import { ControlServer } from '../control-plane/control-server.ts'
import { lockFolder } from '../control-plane/store/folder-lock.ts'
import type { ControlEvent } from '../protocol/control.ts'
import { askGateway, watchGateway } from './control-client.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }
const who = 'ann'

function serverAt(path: string, result: unknown): ControlServer {
  return new ControlServer({ path, log, handle: async () => result, onTracing() {} })
}

/** A server that says what it is told to, whatever it is asked. */
async function rawServer(t: TestContext, onConnection: (socket: Socket, count: number) => void) {
  const dir = await withTempDir()
  const path = controlSocketPath(dir.path)
  await mkdir(dirname(path))
  let count = 0
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    count += 1
    sockets.push(socket.on('error', () => {}))
    onConnection(socket, count)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await dir[Symbol.asyncDispose]()
  })
  return { directory: dir.path, connections: () => count }
}

test('askGateway() gets the result, or throws what the gateway threw', async (t) => {
  const { directory } = await testControl(t, {
    handle: async ({ command }, user) => {
      if (command === 'approve') throw new GatewayError('PLUGIN_NOT_FOUND', 'There is none', { plugin: 'x' })
      return [command, user]
    },
  })
  assert.deepEqual(await askGateway({ command: 'status' }, { directory, who }), ['status', 'ann'])
  await assert.rejects(askGateway({ command: 'approve' }, { directory, who }), {
    code: 'PLUGIN_NOT_FOUND',
    message: 'There is none',
    plugin: 'x',
  })
})

test('askGateway() finds a socket whose path was too long', async (t) => {
  const { directory } = await testControl(t, {
    folder: 'forty characters are in this name of one/'.repeat(3),
  })
  assert.deepEqual(await askGateway({ command: 'status' }, { directory, who }), { command: 'status' })
})

test('askGateway() says at once where no gateway runs, and how to start one', async () => {
  await using dir = await withTempDir()
  await assert.rejects(askGateway({ command: 'status' }, { directory: dir.path, who, waitMs: 60_000 }), {
    code: 'GATEWAY_NOT_RUNNING',
    message:
      `No gateway runs in ${dir.path}. Start one there with "cardea serve", or name the config file of the one you ` +
      'mean with --config FILE.',
  })
})

/** As a killed supervisor leaves it: the socket is there, and nobody listens. */
async function leaveSocket({ path, server }: TestControl): Promise<void> {
  // Renamed away meanwhile, it is not removed by the end of its server.
  await rename(path, `${path}.kept`)
  await server.close()
  await rename(`${path}.kept`, path)
}

test('askGateway() does not wait at a socket whose gateway is dead', async (t) => {
  const control = await testControl(t)
  await leaveSocket(control)
  const { directory } = control
  await assert.rejects(askGateway({ command: 'status' }, { directory, who, waitMs: 60_000 }), {
    code: 'GATEWAY_NOT_RUNNING',
  })
})

test('askGateway() waits for the supervisor of a gateway that lives', async (t) => {
  const control = await testControl(t)
  await leaveSocket(control)
  const { directory, path } = control
  await lockFolder(dirname(path), process.pid)
  const answer = askGateway({ command: 'status' }, { directory, who, waitMs: 60_000 })
  const next = serverAt(path, 'the next one')
  t.after(() => next.close())
  await next.open()
  assert.equal(await answer, 'the next one')
})

test('askGateway() says it when the supervisor of a gateway that lives does not come', async (t) => {
  const control = await testControl(t)
  await leaveSocket(control)
  await lockFolder(dirname(control.path), process.pid)
  await assert.rejects(
    askGateway({ command: 'status' }, { directory: control.directory, who, waitMs: 100 }),
    {
      code: 'CONTROL_LOST',
      message: new RegExp(`^A gateway runs in ${control.directory}, but its supervisor does not listen `),
    },
  )
})

test('askGateway() says whose socket it is when this user may not use it', async (t) => {
  if (process.getuid?.() === 0) return t.skip('root may use every socket')
  const { directory, path } = await testControl(t)
  await chmod(path, 0)
  const { uid } = await lstat(path)
  await assert.rejects(askGateway({ command: 'status' }, { directory, who }), {
    code: 'CONTROL_REFUSED',
    message: `Cannot use ${path}: it belongs to the user with id ${uid}. Run the command as the user that runs the gateway.`,
  })
})

test('askGateway() asks a question again whose answer was lost, but no change', async (t) => {
  const { directory, connections } = await rawServer(t, (socket, count) => {
    socket.once('data', (bytes) => {
      const { id, command } = JSON.parse(`${bytes}`) as { id: number; command: string }
      if (count < 3 || command === 'approve') socket.destroy()
      else socket.write(`${JSON.stringify({ kind: 'ok', id, result: count })}\n`)
    })
  })
  assert.equal(await askGateway({ command: 'status' }, { directory, who, waitMs: 60_000 }), 3)
  await assert.rejects(askGateway({ command: 'approve' }, { directory, who, waitMs: 60_000 }), {
    code: 'CONTROL_LOST',
    message:
      'The gateway did not answer "approve": its supervisor ended the connection. "cardea history" shows whether it ' +
      'went through',
  })
  assert.equal(connections(), 4)
})

test('askGateway() says why it was turned away', async (t) => {
  const { directory, connect } = await testControl(t, { limits: { connectionsMax: 1 } })
  const other = await connect()
  other.send({ id: 1, command: 'status' })
  await other.next()
  await assert.rejects(askGateway({ command: 'status' }, { directory, who, waitMs: 0 }), {
    code: 'CONTROL_BUSY',
  })
})

test('askGateway() does not take what is no answer for one', async (t) => {
  const { directory } = await rawServer(t, (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await assert.rejects(askGateway({ command: 'status' }, { directory, who, waitMs: 0 }), {
    code: 'CONTROL_LOST',
  })
})

test('askGateway() is not confused by a folder that is a file', async () => {
  await using dir = await withTempDir()
  await writeFile(`${dir.path}/.cardea`, '')
  await assert.rejects(askGateway({ command: 'status' }, { directory: dir.path, who }), {
    code: 'GATEWAY_NOT_RUNNING',
  })
})

test('watchGateway() watches a gateway that comes, goes and comes again, until the signal', async (t) => {
  await using dir = await withTempDir()
  const path = controlSocketPath(dir.path)
  const end = new AbortController()
  const events: ControlEvent[] = []
  const connected: unknown[] = []
  const watching = watchGateway({
    directory: dir.path,
    who,
    traces: true,
    signal: end.signal,
    onConnected: async (client) => void connected.push(await client.ask({ command: 'status' })),
    onEvent: (event) => void events.push(event),
  })
  for (const name of ['first', 'second']) {
    const server = serverAt(path, name)
    t.after(() => server.close())
    await server.open()
    await waitFor(() => connected.includes(name), `the connection to the ${name} gateway`)
    server.broadcast({ kind: 'skipped', traces: connected.length })
    await waitFor(() => events.length === connected.length, `an event of the ${name} gateway`)
    await server.close()
  }
  assert.deepEqual(connected, ['first', 'second'])
  end.abort()
  await watching
})

test('watchGateway() ends at the signal while it is connected', async (t) => {
  const { directory, tracing } = await testControl(t)
  const end = new AbortController()
  const watching = watchGateway({
    directory,
    who,
    traces: true,
    signal: end.signal,
    onConnected: async () => end.abort(),
    onEvent: () => {},
  })
  await watching
  await waitFor(() => tracing.length === 2, 'the watcher to go')
})
