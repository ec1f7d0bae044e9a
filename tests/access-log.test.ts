import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged } from './support/log-lines.ts'
import { killProcessesWithEnvironment, signalProcesses } from './support/processes.ts'
import { programArguments, programEnvironment } from './support/program.ts'
import { withTempDir } from './support/temp-dir.ts'
import { waitFor } from './support/wait-for.ts'

const MARKER = 'CARDEA_TEST_ACCESS_LOG'

/** The built-in access log in a whole gateway: its files, through changes and to the end. */

type LogConfig = Readonly<Record<string, unknown>>

function configWith(...logs: LogConfig[]) {
  const routes = logs.map((config, index) => ({
    name: `r${index}`,
    path: `/${index}/*`,
    respond: { status: 204 },
    plugins: { 'access-log': { config: { format: 'template', template: '{path}', ...config } } },
  }))
  return { workers: 1, listen: [{ host: '127.0.0.1', port: 0 }], routes }
}

const save = (gateway: TestGateway, ...logs: LogConfig[]): Promise<unknown> =>
  gateway.dir.write({ 'cardea.yaml': JSON.stringify(configWith(...logs)) })

/** Paths of 100 characters, so that 20 of them fill a file of 1 KiB. */
async function askFor(gateway: TestGateway, name: string): Promise<string[]> {
  const paths = Array.from({ length: 20 }, (_, index) => `/0/${name}-${index}`.padEnd(100, '-'))
  for (const path of paths) await (await fetch(new URL(path, gateway.url))).text()
  return paths
}

test('a change that is rejected leaves the rotation of a log as it was: no line is deleted', async (t) => {
  const serving = { file: 'one.log', rotate_size: '1KiB', keep: 100 }
  const gateway = await startGateway(t, { config: configWith(serving) })
  const logs = join(gateway.dir.path, 'logs')
  const asked = await askFor(gateway, 'before')
  await waitFor(async () => (await readdir(logs)).includes('one.log.1'), 'the first rotation')
  await save(gateway, { ...serving, keep: 0 }, { file: '../bad.log' })
  await logged(gateway, /is not a file of the logs folder/)
  asked.push(...(await askFor(gateway, 'after')))
  await waitFor(async () => {
    const files = (await readdir(logs)).filter((name) => name.startsWith('one.log.'))
    const texts = await Promise.all(files.map((name) => readFile(join(logs, name), 'utf8')))
    const lines = texts.join('').trim().split('\n')
    return files.length >= 2 && asked.every((path) => lines.includes(path))
  }, 'all lines to be in rotated files')
})

test('two routes that disagree on one log lose no line and are warned of; when one goes, the other has its way', async (t) => {
  const rotated = { file: 'one.log', rotate_size: '1KiB', keep: 9 }
  const gateway = await startGateway(t, { config: configWith(rotated, { ...rotated, rotate_size: '0' }) })
  await logged(gateway, /disagree on how the log file "one\.log" is rotated: size never or 1024 bytes/)
  await askFor(gateway, 'kept')
  await save(gateway, rotated)
  await logged(gateway, /^Generation 2 is live/)
  const logs = join(gateway.dir.path, 'logs')
  await waitFor(async () => (await readdir(logs)).includes('one.log.1'), 'the file to be rotated')
})

/** Lines that no pipe has room for. */
async function fill(url: string): Promise<void> {
  for (let request = 0; request < 150; request++) {
    await (await fetch(new URL(`/0/${'x'.repeat(4_000)}`, url))).text()
  }
}

/** A gateway whose stdout is what the test gives it, and read by nobody once it is ready. */
async function startOn(t: TestContext, file: string, stdout: 'pipe' | 'fifo') {
  const dir = await withTempDir()
  const marker = randomUUID()
  t.after(async () => {
    await killProcessesWithEnvironment(MARKER, marker)
    await dir[Symbol.asyncDispose]()
  })
  await dir.write({ 'cardea.yaml': JSON.stringify(configWith({ file })) })
  const path = join(dir.path, 'stdout')
  execFileSync('mkfifo', [path])
  // For reading and writing: it is there, and does nothing.
  const end = await open(path, 'r+')
  t.after(() => end.close())
  const child = spawn(
    process.execPath,
    [...programArguments(), 'serve', '--config', join(dir.path, 'cardea.yaml')],
    {
      cwd: dir.path,
      env: { ...programEnvironment(), [MARKER]: marker },
      stdio: ['ignore', stdout === 'fifo' ? end.fd : 'pipe', 'pipe'],
    },
  )
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const exited = once(child, 'exit')
  let written = ''
  let url: string | undefined
  while (url === undefined) {
    if (stdout === 'fifo') {
      const { buffer, bytesRead } = await end.read(Buffer.alloc(4_096), 0, 4_096)
      written += buffer.toString('utf8', 0, bytesRead)
    } else written += String((await once(child.stdout as Readable, 'data'))[0])
    url = /^Cardea is listening on (http:\/\/\S+:\d+)/m.exec(written)?.[1]
  }
  child.stdout?.pause()
  return {
    url,
    stop: async () => {
      signalProcesses([child.pid ?? 0], 'SIGTERM')
      const status = await exited
      return { status, said }
    },
  }
}

for (const stdout of ['fifo', 'pipe'] as const) {
  test(`a reader of stdout that stands still keeps no gateway from its end (${stdout})`, async (t) => {
    const { url, stop } = await startOn(t, '-', stdout)
    await fill(url)
    const { status, said } = await stop()
    assert.deepEqual(status, [0, null])
    assert.match(said, /The last lines for \\"-\\" are dropped/)
    assert.doesNotMatch(said, /killed/)
  })
}

test('a FIFO without a reader is no file to wait for, neither for requests nor at the end', async (t) => {
  const gateway = await startGateway(t, { config: configWith({ file: 'read' }, { file: 'unread' }) })
  const pathOf = (name: string): string => join(gateway.dir.path, 'logs', name)
  await gateway.dir.write({ 'logs/other': '' })
  execFileSync('mkfifo', [pathOf('read'), pathOf('unread')])
  for (const path of ['/0/a', '/1/b']) await (await fetch(new URL(path, gateway.url))).text()
  const reader = await open(pathOf('read'), 'r+')
  t.after(() => reader.close())
  const { buffer, bytesRead } = await reader.read(Buffer.alloc(64), 0, 64)
  assert.equal(buffer.toString('utf8', 0, bytesRead), '/0/a\n')
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  await logged(gateway, /^The last lines for "unread" are dropped: nobody reads it \(ENXIO\)/)
  assert.doesNotMatch(gateway.stderr, /killed/)
})
