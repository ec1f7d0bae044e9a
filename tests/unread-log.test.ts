import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LOG_LIMITS } from '../packages/gateway/src/config/limits.ts'
import { startCommand } from './support/cardea-command.ts'
import { descendantsOf, signalProcesses } from './support/processes.ts'
import { type TempDir, withTempDir } from './support/temp-dir.ts'
import { waitFor } from './support/wait-for.ts'

/** A log that goes to a pipe which is open, and which nobody reads. */

const WORKER = 'cardea: worker'

const workersOf = (pid: number): number[] =>
  descendantsOf(pid).flatMap((found) => (found.command.includes(WORKER) ? [found.pid] : []))

/** Writes and reads: `text` is what has not been read yet, up to what a pipe holds. */
function fifoIn(t: TestContext, dir: TempDir): { readonly fd: number; read(): string; leave(): void } {
  const path = join(dir.path, 'fifo')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const fd = openSync(path, constants.O_WRONLY)
  let hasLeft = false
  const leave = (): void => {
    if (!hasLeft) closeSync(reader)
    hasLeft = true
  }
  t.after(() => {
    leave()
    closeSync(fd)
  })
  const buffer = Buffer.alloc(1 << 20)
  return {
    fd,
    read() {
      try {
        return buffer.toString('utf8', 0, readSync(reader, buffer))
      } catch {
        return ''
      }
    },
    /** Who writes then fails. */
    leave,
  }
}

/** Each request to /loud logs some lines, so long that a few fill a pipe. */
const LOUD = {
  'plugins/loud/plugin.json': { name: 'loud', version: '1.0.0', scope: 'route' },
  'plugins/loud/plugin.ts': `export const PluginMain = (_, host) => ({
  name: 'loud',
  handle(ctx) {
    for (let i = 0; i < 50; i++) host.log.info('loud', { i, text: 'x'.repeat(2_000) })
    return true
  },
})`,
}

const CONFIG = {
  listen: [{ host: '127.0.0.1', port: 0 }],
  workers: 2,
  timeouts: { drain: '10s' },
  upstreams: { down: { targets: ['http://127.0.0.1:1'] } },
  routes: [
    { name: 'here', path: '/here', respond: { status: 200, body: 'here' } },
    { name: 'loud', path: '/loud', respond: { status: 200, body: 'loud' }, plugins: { loud: {} } },
    { name: 'down', path: '/down', upstream: 'down' },
  ],
}

test('a gateway whose log nobody reads serves on, starts its workers again, and ends in time', async (t) => {
  await using dir = await withTempDir()
  await dir.write({ 'cardea.json': CONFIG, ...LOUD })
  const fifo = fifoIn(t, dir)
  const gateway = startCommand(t, ['serve'], { cwd: dir.path, stderr: fifo.fd })
  const port = await gateway.readyPort()
  const status = async (path: string): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(20_000) })
    await response.arrayBuffer()
    return response.status
  }
  for (let i = 0; i < 100; i++) {
    assert.equal(await status('/loud'), 200)
    assert.equal(await status('/down'), 502)
  }
  for (let round = 0; round < 3; round++) {
    const before = workersOf(gateway.pid)
    assert.equal(before.length, 2)
    signalProcesses(before, 'SIGKILL')
    await waitFor(() => {
      const workers = workersOf(gateway.pid)
      return workers.length === 2 && !workers.some((pid) => before.includes(pid))
    }, 'workers in the place of those that were killed')
    assert.equal(await status('/here'), 200)
    for (let i = 0; i < 10; i++) assert.equal(await status('/loud'), 200)
  }
  gateway.signal('SIGTERM')
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
})

test('a log that is read again tells how many lines were lost, and all others are whole', async (t) => {
  await using dir = await withTempDir()
  await dir.write({ 'cardea.json': { ...CONFIG, workers: 1 }, ...LOUD })
  const fifo = fifoIn(t, dir)
  const gateway = startCommand(t, ['serve'], { cwd: dir.path, stderr: fifo.fd })
  const port = await gateway.readyPort()
  // Twice what may wait.
  const requests = Math.ceil((2 * LOG_LIMITS.pendingBytesMax) / (50 * 2_000))
  for (let i = 0; i < requests; i++) await (await fetch(`http://127.0.0.1:${port}/loud`)).text()
  let text = ''
  const lines = (): string[] => text.split('\n').slice(0, -1)
  const lost = await waitFor(() => {
    text += fifo.read()
    return lines()
      .map((line) => JSON.parse(line) as { lost?: number; process: string })
      .find((line) => line.process === 'worker' && line.lost !== undefined)
  }, 'the line that tells of lost ones')
  const loud = lines().filter((line) => line.includes('"message":"loud"')).length
  assert.equal(loud + (lost.lost ?? 0), requests * 50)
})

test('dev serves on, and takes changes live, when whoever read its view has left', async (t) => {
  await using dir = await withTempDir()
  const config = (body: string) => ({
    ...CONFIG,
    workers: 1,
    routes: [{ name: 'here', path: '/here', respond: { status: 200, body } }],
  })
  await dir.write({ 'cardea.json': config('one') })
  const fifo = fifoIn(t, dir)
  const gateway = startCommand(t, ['dev'], { cwd: dir.path, stdout: fifo.fd })
  let shown = ''
  const [, port] = await waitFor(() => {
    shown += fifo.read()
    return /^Cardea is listening on http:\/\/\S+:(\d+)$/m.exec(shown)
  }, 'the start output')
  const body = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/here`)).text()
  const line = /^GET \/here → route here/m
  await waitFor(async () => {
    assert.equal(await body(), 'one')
    shown += fifo.read()
    return line.test(shown)
  }, 'the way of a request')
  fifo.leave()
  for (const next of ['two', 'three']) {
    await dir.write({ 'cardea.json': config(next) })
    await waitFor(async () => (await body()) === next, 'the change')
  }
  gateway.signal('SIGTERM')
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
})
