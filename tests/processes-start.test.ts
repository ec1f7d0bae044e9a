import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { constants, getPriority } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { runCommand, startCommand } from './support/cardea-command.ts'
import { freePort } from './support/free-port.ts'
import { startGateway } from './support/gateway.ts'
import { logged, logLines } from './support/log-lines.ts'
import { LAUNCHER } from './support/program.ts'
import { RecordingUpstream } from './support/recording-upstream.ts'
import { type FileContents, type TempDir, withTempDir } from './support/temp-dir.ts'

/** How a gateway starts, and what it says when it cannot. */

const LISTEN = [{ host: '127.0.0.1', port: 0 }]
const ROUTES = [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }]

async function folderWith(t: TestContext, files: Readonly<Record<string, FileContents>>): Promise<TempDir> {
  const dir = await withTempDir()
  t.after(() => dir[Symbol.asyncDispose]())
  await dir.write(files)
  return dir
}

test('a port that is taken ends the start with exit code 1, the address and the way out', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const dir = await folderWith(t, {
    'cardea.json': { listen: [{ host: '127.0.0.1', port }], routes: ROUTES },
  })
  const { code, stdout, stderr } = await runCommand(t, ['serve'], { cwd: dir.path })
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(
    stderr,
    new RegExp(`LISTEN_FAILED.*Cannot listen on 127\\.0\\.0\\.1:${port}: the address is in use\\. Choose`),
  )
})

test('two listeners that only collide when they listen end the start with exit code 1', async (t) => {
  const port = await freePort()
  const listen = ['127.0.0.1', '0.0.0.0'].map((host) => ({ host, port }))
  const dir = await folderWith(t, { 'cardea.json': { listen, routes: ROUTES } })
  const { code, stderr } = await runCommand(t, ['serve'], { cwd: dir.path })
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`^LISTEN_FAILED.*0\\.0\\.0\\.0:${port}`, 'm'))
})

test('a broken config ends the start with exit code 1 and every problem of it', async (t) => {
  const dir = await folderWith(t, {
    'cardea.json': { listen: [{ prot: 1 }], routes: ROUTES, worker: 3, timeouts: { drain: 'soon' } },
  })
  const { code, stdout, stderr } = await runCommand(t, ['serve', '--strict'], { cwd: dir.path })
  assert.deepEqual([code, stdout], [1, ''])
  for (const offender of ['prot', 'worker', 'soon']) assert.match(stderr, new RegExp(offender))
  assert.match(stderr, /^cardea\.json:\d+:\d+ /m)
})

test('a plugin without its entry file ends the start with exit code 1 and the file that is missing', async (t) => {
  const dir = await folderWith(t, {
    'cardea.json': { listen: LISTEN, routes: ROUTES },
    'plugins/empty/plugin.json': { name: 'empty', version: '1.0.0' },
  })
  const { code, stdout, stderr } = await runCommand(t, ['serve', '--strict'], { cwd: dir.path })
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /^plugins\/empty:\d+:\d+ PLUGIN_ENTRY_MISSING .*plugin\.ts/m)
  assert.doesNotMatch(stderr, /EISDIR/)
})

test('a plugin that does not compile hides nothing of the config from a start', async (t) => {
  const dir = await folderWith(t, {
    'cardea.yaml': 'plugins:\n  corss: {}\n  cors: { config: { origns: [] } }\n',
    'plugins/broken/plugin.json': { name: 'broken', version: '1.0.0' },
    'plugins/broken/plugin.ts': 'export const PluginMain = ( => 1',
  })
  for (const command of [
    ['serve', '--strict'],
    ['config', 'check'],
  ]) {
    const { code, stdout, stderr } = await runCommand(t, command, { cwd: dir.path })
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /^cardea\.yaml:2:3 PLUGIN_NOT_FOUND .*"corss"/m)
    assert.match(stderr, /^cardea\.yaml:3:21 PLUGIN_CONFIG_INVALID .*origns/m)
    assert.match(stderr, /^plugins\/broken\/plugin\.ts:1:29 PLUGIN_BUILD_FAILED /m)
  }
})

test('every conflict of routes ends the start, each at its place, beside what else is wrong', async (t) => {
  const dir = await folderWith(t, {
    'cardea.yaml': `routes:
  - { name: a, path: /x, headers: { one: "1" }, respond: {} }
  - { name: b, path: /x, headers: { other: "1" }, respond: {} }
  - { name: c, host: "[::1]", respond: {}, plugins: { corss: {} } }
  - { name: d, hosts: [a.com, "[0::1]"], respond: {} }
`,
  })
  const { code, stdout, stderr } = await runCommand(t, ['serve', '--strict'], { cwd: dir.path })
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /^cardea\.yaml:3:5 CONFIG_INVALID Route "b" takes the same requests as route "a"/m)
  assert.match(stderr, /^cardea\.yaml:4:55 PLUGIN_NOT_FOUND /m)
  assert.match(stderr, /^cardea\.yaml:5:5 CONFIG_INVALID Route "d" takes the same requests as route "c"/m)
})

test('a plugin that does not start ends the start with exit code 1 and its line in plugin.ts', async (t) => {
  const dir = await folderWith(t, {
    'cardea.json': { listen: LISTEN, workers: 2, routes: ROUTES },
    'plugins/broken/plugin.json': { name: 'broken', version: '1.0.0' },
    'plugins/broken/plugin.ts': `
      interface Unused {}
      export function PluginMain() {
        throw new Error('no database')
      }
    `,
  })
  const { code, stdout, stderr } = await runCommand(t, ['serve', '--strict'], { cwd: dir.path })
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /PLUGIN_START_FAILED.*"broken".*no database/)
  assert.match(stderr, /broken\/plugin\.ts:4:/)
  assert.equal(stderr.match(/no database/g)?.length, 3, 'said once, once in the excerpt, once in the stack')
})

test('a plugin that ends its worker while it starts ends the start with exit code 1', async (t) => {
  const dir = await folderWith(t, {
    'cardea.json': { listen: LISTEN, workers: 1, routes: ROUTES },
    'plugins/quitter/plugin.json': { name: 'quitter', version: '1.0.0' },
    'plugins/quitter/plugin.ts': `export function PluginMain() { process.kill(process.pid, 'SIGKILL') }`,
  })
  const { code, stderr } = await runCommand(t, ['serve', '--strict'], { cwd: dir.path })
  assert.equal(code, 1)
  assert.match(stderr, /^plugins\/quitter\/plugin\.ts.*PLUGIN_START_FAILED.*"quitter".*SIGKILL/m)
})

test('a supervisor that no master started says what to run instead', async (t) => {
  const bin = join(LAUNCHER, '../../src/main/supervisor.ts')
  const { code, stderr } = await runCommand(t, [], { cwd: import.meta.dirname, bin })
  assert.deepEqual([code, stderr], [1, 'The supervisor is started by the gateway; run "cardea serve".\n'])
})

test('serve without a config file says which names it looked for', async (t) => {
  const dir = await folderWith(t, {})
  const { code, stderr } = await runCommand(t, ['serve'], { cwd: dir.path })
  assert.equal(code, 1)
  assert.match(stderr, /there is no cardea\.yaml or cardea\.yml or cardea\.json in /)
})

test('unknown commands and options end with exit code 1 and the nearest known one', async (t) => {
  const dir = await folderWith(t, {})
  for (const [args, nearest] of [
    [['srve'], 'serve'],
    [['--tp', 'x'], '--to'],
    [['serve', '--confg', 'x'], '--config'],
    [['config', 'chek'], 'check'],
    [['plugin', 'lst'], 'list'],
  ] as const) {
    const { code, stderr } = await runCommand(t, args, { cwd: dir.path })
    assert.equal(code, 1)
    assert.match(stderr, new RegExp(`Did you mean ${nearest}\\?`))
  }
})

test('the start output names address, chain in order and a curl line; logs are JSON on stderr', async (t) => {
  const plugin = (name: string, priority: number) => ({
    'plugin.json': { name, version: '1.0.0', priority },
    'plugin.ts': `export const PluginMain = () => ({ name: '${name}', handle: () => true })`,
  })
  const gateway = await startGateway(t, {
    config: { workers: 2, routes: ROUTES },
    plugins: { second: plugin('second', 1), first: plugin('first', 2) },
  })
  const lines = gateway.stdout.split('\n')
  assert.equal(lines[0], `Cardea is listening on http://127.0.0.1:${gateway.port}`)
  assert.match(gateway.stdout, /^ {2}all: \/\* {2}first → second → answer 200$/m)
  assert.match(gateway.stdout, /2 workers$/m)
  const curl = /^ {2}Try: curl -i (\S+)$/m.exec(gateway.stdout)?.[1]
  assert.equal(await (await fetch(curl ?? '')).text(), 'here')
  const ready = await logged(gateway, /^Ready$/)
  assert.deepEqual([ready.process, ready.generation, ready.workers], ['master', 1, 2])
  assert.ok(logLines(gateway.stderr).every((line) => typeof line.time === 'string'))
})

/** Linux gives each of them a priority of its own. */
function threadsOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number)
}

test('supervisor and trial have a lower priority than the workers, with all their threads', async (t) => {
  const gateway = await startGateway(t, {
    config: { listen: LISTEN, workers: 1, routes: ROUTES },
    plugins: {
      plain: {
        'plugin.json': { name: 'plain', version: '1.0.0' },
        'plugin.js': "exports.PluginMain = () => ({ name: 'plain', handle: () => true })",
      },
    },
  })
  const prioritiesOf = (process: string): number[] =>
    gateway.pids(`cardea: ${process}`).flatMap((pid) => threadsOf(pid).map((thread) => getPriority(thread)))
  const [normal = 0, ...others] = prioritiesOf('worker')
  assert.ok(others.length > 0 && others.every((priority) => priority === normal))
  const below = normal + constants.priority.PRIORITY_BELOW_NORMAL
  assert.deepEqual(new Set(prioritiesOf('supervisor')), new Set([below]))
  assert.deepEqual(new Set(prioritiesOf('trial')), new Set([below]))
})

test('--to proxies without a file, from any folder, through a link in node_modules/.bin', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const dir = await folderWith(t, {})
  await mkdir(join(dir.path, 'node_modules/.bin'), { recursive: true })
  const bin = join(dir.path, 'node_modules/.bin/cardea')
  await symlink(LAUNCHER, bin)
  const command = startCommand(t, ['--to', upstream.url, '--port', '0'], { cwd: dir.path, bin })
  const response = await fetch(`http://127.0.0.1:${await command.readyPort()}/some/path`)
  assert.deepEqual([response.status, await response.text()], [200, 'ok'])
  assert.match(upstream.requests[0] ?? '', /^GET \/some\/path HTTP\/1\.1\r\n/)
})

test('a promise that nobody awaits is in the log with its plugin and line, and harms nobody', async (t) => {
  const gateway = await startGateway(t, {
    config: { workers: 1, routes: ROUTES },
    plugins: {
      late: {
        'plugin.json': { name: 'late', version: '1.0.0' },
        'plugin.ts': `
          export const PluginMain = () => ({
            name: 'late',
            handle(ctx) {
              if (ctx.request.path === '/floating') void Promise.reject(new Error('floating'))
              return true
            },
          })
        `,
      },
    },
  })
  const workers = gateway.pids('cardea: worker')
  await (await fetch(`${gateway.url}/floating`)).text()
  const floating = await logged(gateway, /^A promise was rejected/)
  assert.match(String(floating.stack), /late\/plugin\.ts:5:/)
  assert.deepEqual(gateway.pids('cardea: worker'), workers)
  assert.equal(await (await fetch(gateway.url)).text(), 'here')
})
