import assert from 'node:assert/strict'
import { chmod, lstat, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { testControl } from '../../../../tests/support/control-server.ts'
import { withTempDir } from '../../../../tests/support/temp-dir.ts'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import type { ControlEvent } from '../protocol/control.ts'
import type { ExchangeTrace } from '../protocol/trace.ts'
import { controlSocketPath, pathToBind, pathToConnect } from './control-path.ts'
import { ControlServer } from './control-server.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }

function serverAt(path: string): ControlServer {
  return new ControlServer({ path, log, handle: async () => 'second', onTracing() {} })
}

const trace = (id: string): ControlEvent => ({ kind: 'trace', trace: { id } as ExchangeTrace })
const decision = (text: string): ControlEvent => ({ kind: 'decision', at: 1, plugin: 'a', text })

test('open() makes a socket that only its owner may use, and leaves nothing beside it', async (t) => {
  const { path } = await testControl(t)
  const found = await lstat(path)
  assert.ok(found.isSocket())
  assert.equal(found.mode & 0o777, 0o600)
  assert.equal((await lstat(dirname(path))).mode & 0o777, 0o700)
  assert.deepEqual(await readdir(dirname(path)), ['control.sock'])
})

test('open() gives the socket its mode whatever the umask', async (t) => {
  const before = process.umask(0)
  t.after(() => process.umask(before))
  const { path } = await testControl(t)
  assert.equal((await lstat(path)).mode & 0o777, 0o600)
})

test('open() replaces the socket that a dead process left, in one step', async (t) => {
  const first = await testControl(t)
  // Renamed away and back, it is what a killed process leaves: closing its server does not remove it.
  await rename(first.path, `${first.path}.kept`)
  await first.server.close()
  await rename(`${first.path}.kept`, first.path)
  await mkdir(join(dirname(first.path), '.open'))
  const second = serverAt(first.path)
  t.after(() => second.close())
  await second.open()
  const client = await first.connect()
  client.send({ id: 1, command: 'status' })
  assert.deepEqual(await client.next(), { kind: 'ok', id: 1, result: 'second' })
  assert.deepEqual(await readdir(dirname(first.path)), ['control.sock'])
})

test('open() refuses a folder in which another gateway runs, and leaves that alone', async (t) => {
  const first = await testControl(t)
  await assert.rejects(serverAt(first.path).open(), {
    code: 'CONTROL_SOCKET_FAILED',
    message: `Cannot open ${first.path}: another gateway runs in this folder. Stop it, or start this one elsewhere.`,
  })
  const client = await first.connect()
  client.send({ id: 1, command: 'status' })
  assert.equal((await client.next()).kind, 'ok')
})

test('open() refuses to remove what is no socket', async (t) => {
  await using dir = await withTempDir()
  const path = controlSocketPath(dir.path)
  await dir.write({ '.cardea/control.sock': 'mine' })
  await assert.rejects(serverAt(path).open(), /control\.sock is there and is no socket/)
  assert.equal(await readFile(path, 'utf8'), 'mine')
  await rm(path)
  const target = join(dir.path, 'elsewhere')
  await symlink(target, path)
  await assert.rejects(serverAt(path).open(), /is no socket/)
  t.diagnostic('a link to somewhere else is not followed')
  await assert.rejects(lstat(target), { code: 'ENOENT' })
})

test('open() says why a folder cannot be written to', async (t) => {
  if (process.getuid?.() === 0) return t.skip('root may write everywhere')
  await using dir = await withTempDir()
  await chmod(dir.path, 0o500)
  await assert.rejects(serverAt(controlSocketPath(dir.path)).open(), /Cannot open .*: EACCES/)
})

test('a socket that somebody removes with its folder comes back, and what was connected goes on', async (t) => {
  const { path, connect, server } = await testControl(t, { limits: { presenceMs: 5 } })
  const client = await connect()
  // It may come back while the folder is being removed.
  await rm(dirname(path), { recursive: true, maxRetries: 5 })
  const { mode } = await waitFor(() => lstat(path), 'the socket')
  assert.equal(mode & 0o777, 0o600)
  for (const one of [client, await connect()]) {
    one.send({ id: 1, command: 'status' })
    assert.equal((await one.next()).kind, 'ok')
  }
  await server.close()
  assert.deepEqual(await readdir(dirname(path)), [])
})

test('close() removes its own socket, and not that of a successor', async (t) => {
  const first = await testControl(t)
  await rename(first.path, `${first.path}.old`)
  const second = serverAt(first.path)
  await second.open()
  t.after(() => second.close())
  await first.server.close()
  assert.ok((await lstat(first.path)).isSocket())
  await second.close()
  await assert.rejects(lstat(first.path), { code: 'ENOENT' })
  await second.close()
})

test('a path that is too long for a socket is stood in for by one in a private folder, which close() removes', async (t) => {
  const folder = 'a long name of forty characters or more/'.repeat(3)
  const { path, server, directory } = await testControl(t, { folder })
  const bound = (await readFile(join(dirname(path), 'control.path'), 'utf8')).trim()
  assert.notEqual(bound, path)
  assert.equal(await pathToConnect(controlSocketPath(directory)), bound)
  assert.equal((await lstat(bound)).mode & 0o777, 0o600)
  assert.equal((await lstat(dirname(bound))).mode & 0o777, 0o700)
  assert.equal((await lstat(join(dirname(path), 'control.path'))).mode & 0o777, 0o600)
  await assert.rejects(serverAt(path).open(), /another gateway runs/)
  assert.equal(await pathToConnect(path), bound)
  await server.close()
  await assert.rejects(lstat(dirname(bound)), { code: 'ENOENT' })
  assert.deepEqual(await readdir(dirname(path)), [])
})

test('a path that fits removes what named another one', async (t) => {
  await using dir = await withTempDir()
  const path = controlSocketPath(dir.path)
  await dir.write({ '.cardea/control.path': '/elsewhere' })
  const server = serverAt(path)
  t.after(() => server.close())
  await server.open()
  assert.deepEqual(await readdir(dirname(path)), ['control.sock'])
})

test('pathToBind() takes no folder that others may enter, or that is a link', async () => {
  await using dir = await withTempDir()
  const path = join(dir.path, 'x'.repeat(120))
  const folder = dirname(await pathToBind(path, dir.path))
  assert.equal(await pathToBind(path, dir.path), join(folder, 'control.sock'))
  await chmod(folder, 0o755)
  await assert.rejects(pathToBind(path, dir.path), /is not this user's own/)
  await rm(folder, { recursive: true })
  await mkdir(join(dir.path, 'other'), { mode: 0o700 })
  await symlink(join(dir.path, 'other'), folder)
  await assert.rejects(pathToBind(path, dir.path), /is not this user's own/)
})

test('pathToConnect() follows no pointer to nowhere', async () => {
  await using dir = await withTempDir()
  const path = controlSocketPath(dir.path)
  assert.equal(await pathToConnect(path), path)
  for (const text of ['', '/nowhere/at/all', 'x'.repeat(5_000)]) {
    await dir.write({ '.cardea/control.path': text })
    assert.equal(await pathToConnect(path), path)
  }
  await rm(join(dirname(path), 'control.path'))
  await symlink('/etc/passwd', join(dirname(path), 'control.path'))
  assert.equal(await pathToConnect(path), path)
})

test('broadcast() reaches those who watch, with traces only if asked', async (t) => {
  const { server, connect, tracing } = await testControl(t)
  const idle = await connect()
  const watcher = await connect()
  const tracer = await connect()
  server.broadcast(decision('before'))
  watcher.send({ id: 1, command: 'watch', traces: false })
  tracer.send({ id: 1, command: 'watch', traces: true })
  assert.deepEqual(await watcher.next(), { kind: 'ok', id: 1, result: null })
  await tracer.next()
  server.broadcast(trace('one'))
  server.broadcast(decision('after'))
  assert.deepEqual(await tracer.next(), { kind: 'event', event: trace('one') })
  assert.deepEqual(await tracer.next(), { kind: 'event', event: decision('after') })
  assert.deepEqual(await watcher.next(), { kind: 'event', event: decision('after') })
  assert.deepEqual(idle.lines, [])
  assert.deepEqual(tracing, [true])
})

test('onTracing() is told of the first and of the last, however they go', async (t) => {
  const { connect, tracing } = await testControl(t)
  const watch = async (traces: boolean) => {
    const client = await connect()
    client.send({ id: 1, command: 'watch', traces })
    await client.next()
    return client
  }
  const first = await watch(true)
  const second = await watch(true)
  const third = await watch(false)
  first.socket.end()
  await first.ended()
  second.socket.destroy()
  await waitFor(() => tracing.length === 2, 'the end of tracing')
  third.send({ id: 2, command: 'watch', traces: true })
  await third.next()
  third.send({ id: 3, command: 'watch', traces: false })
  await third.next()
  assert.deepEqual(tracing, [true, false, true, false])
})

test('close() ends watchers and tracing', async (t) => {
  const { server, connect, tracing } = await testControl(t)
  const client = await connect()
  client.send({ id: 1, command: 'watch', traces: true })
  await client.next()
  await server.close()
  await client.ended()
  assert.deepEqual(tracing, [true, false])
  server.broadcast(decision('to nobody'))
})
