import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { lstat, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { askGateway } from '../packages/gateway/src/cli/control-client.ts'
import type {
  ChangeReport,
  GatewayStatus,
  HistoryEntry,
  PluginVersion,
} from '../packages/gateway/src/protocol/control.ts'
import { type CommandResult, runCommand, startCommand } from './support/cardea-command.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { killProcesses } from './support/processes.ts'
import { withTempDir } from './support/temp-dir.ts'
import { waitFor } from './support/wait-for.ts'

/** Every command against a gateway that runs: what it prints, and what becomes of the traffic. */

const CONFIG = {
  workers: 1,
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
}

const greeter = (greeting: string, category = 'transform') => ({
  'plugin.json': { name: 'greeter', version: '1.0.0', category },
  'plugin.ts': sourceOf(greeting),
})

function sourceOf(greeting: string): string {
  return `export const PluginMain = () => ({
  name: 'greeter',
  handle(ctx) {
    ctx.response.headers.set('x-greeting', '${greeting}')
    return true
  },
})
`
}

interface Running extends TestGateway {
  cardea(...args: string[]): Promise<CommandResult>
  /** Parsed `--json` output, whatever the exit code. */
  json<Result>(...args: string[]): Promise<Result>
  greeting(): Promise<string | null>
  greets(greeting: string | null): Promise<void>
  /** Waits until the newest change has this outcome. */
  pending(outcome: ChangeReport['outcome']): Promise<ChangeReport>
}

async function start(t: TestContext, plugin = greeter('one')): Promise<Running> {
  const gateway = await startGateway(t, { config: CONFIG, plugins: { greeter: plugin } })
  const directory = gateway.dir.path
  const cardea = (...args: string[]) => runCommand(t, args, { cwd: directory })
  const json = async <Result>(...args: string[]): Promise<Result> => {
    const { stdout, stderr } = await cardea(...args, '--json')
    assert.notEqual(stdout, '', stderr)
    return JSON.parse(stdout) as Result
  }
  const greeting = async () => (await fetch(gateway.url)).headers.get('x-greeting')
  // A getter would be read once by a spread: what it writes is asked for anew each time.
  return Object.assign(Object.create(gateway) as TestGateway, {
    cardea,
    json,
    greeting,
    greets: async (wanted: string | null) => {
      await waitFor(async () => (await greeting()) === wanted, `the greeting ${wanted}`)
    },
    pending: async (outcome: ChangeReport['outcome']) =>
      waitFor(
        async () => {
          const { pending } = await askGateway({ command: 'status' }, { directory, who: 'a test' })
          return pending?.outcome === outcome ? pending : null
        },
        `a change that is ${outcome}`,
        30_000,
      ),
  })
}

test('status, history and config diff say what serves, and what was saved', async (t) => {
  const gateway = await start(t)
  const status = await gateway.cardea('status')
  assert.equal(status.code, 0, status.stderr)
  assert.match(status.stdout, /: generation 1 serves\n {2}http:\/\/127\.0\.0\.1:\d+\n/)
  assert.match(status.stdout, /^ {2}greeter +1\.0\.0 +plugins\/greeter +active$/m)
  assert.equal((await lstat(join(gateway.dir.path, '.cardea/control.sock'))).mode & 0o777, 0o600)

  await gateway.dir.write({ 'plugins/greeter/plugin.ts': sourceOf('two') })
  await gateway.greets('two')
  const history = await gateway.cardea('history')
  assert.match(
    history.stdout,
    /^ {2}2 +live .*saved plugins\/greeter\/plugin\.ts +plugin greeter 1\.0\.0: new code$/m,
  )
  assert.match(history.stdout, /^ {2}1 .* start /m)
  assert.match(history.stdout, /"cardea rollback 1" brings one back\.\n$/)

  const routes = [{ ...CONFIG.routes[0], respond: { status: 200, body: 'there' } }]
  await gateway.dir.write({ 'cardea.yaml': { listen: [{ host: '127.0.0.1', port: 0 }], ...CONFIG, routes } })
  await waitFor(async () => (await (await fetch(gateway.url)).text()) === 'there', 'the new body')
  const same = await gateway.cardea('config', 'diff')
  assert.match(same.stdout, /^No difference between generation 3 and the file on disk\.\n$/)
  const diff = await gateway.cardea('config', 'diff', '1')
  assert.match(diff.stdout, /^-\s+"body": "here"$/m)
  assert.match(diff.stdout, /^\+\s+"body": "there"$/m)
})

test('rollback brings a generation back in spite of what is on disk, until release', async (t) => {
  const gateway = await start(t)
  await gateway.dir.write({ 'plugins/greeter/plugin.ts': sourceOf('two') })
  await gateway.greets('two')
  const back = await gateway.cardea('rollback')
  assert.equal(back.code, 0, back.stderr)
  assert.match(back.stdout, /^Generation 3 is live after .*plugin greeter 1\.0\.0: new code\n/)
  assert.match(back.stdout, /"cardea release" lets it in as it is\.\n$/)
  assert.equal(await gateway.greeting(), 'one')
  assert.match((await gateway.cardea('status')).stdout, /^Held back\n {2}plugin greeter runs as /m)

  const [supervisor] = gateway.pids('cardea: supervisor')
  assert.ok(supervisor)
  await killProcesses([supervisor])
  assert.match((await gateway.cardea('status')).stdout, /^Held back\n {2}plugin greeter runs as /m)
  assert.equal(await gateway.greeting(), 'one')

  const { stderr } = await gateway.cardea('release', 'greter')
  assert.match(stderr, /^NOTHING_HELD: "greter" is not held back, so .* Held back are: .*greeter/)
  const forward = await gateway.cardea('release', 'greeter')
  assert.equal(forward.code, 0, forward.stderr)
  assert.equal(await gateway.greeting(), 'two')
  const gone = await gateway.cardea('rollback', '99')
  assert.deepEqual([gone.code, gone.stdout], [1, ''])
  assert.match(gone.stderr, /^GENERATION_UNKNOWN: .*99/)
})

test('rollback never brings back what was gone back from, and says which generation it chose or that none is left', async (t) => {
  const gateway = await start(t)
  for (const version of ['two', 'three']) {
    await gateway.dir.write({ 'plugins/greeter/plugin.ts': sourceOf(version) })
    await gateway.greets(version)
  }
  const first = await gateway.cardea('rollback', '--json')
  assert.equal(first.code, 0, first.stderr)
  assert.deepEqual(JSON.parse(first.stdout).cause, { kind: 'rollback', generation: 2 })
  assert.equal(await gateway.greeting(), 'two')
  assert.equal((await gateway.cardea('rollback')).code, 0)
  assert.equal(await gateway.greeting(), 'one')
  const none = await gateway.cardea('rollback')
  assert.equal(none.code, 1)
  assert.match(none.stderr, /^ROLLBACK_EXHAUSTED: There is nothing left to roll back to from generation 5: /)
  assert.equal(await gateway.greeting(), 'one')
  assert.match((await gateway.cardea('history')).stdout, /^ {2}5 +live .* rollback to generation 1 /m)
  assert.equal((await gateway.cardea('rollback', '3')).code, 0)
  assert.equal(await gateway.greeting(), 'three')
})

test('a plugin is rolled back once more to what ran before that, until nothing older is left', async (t) => {
  const gateway = await start(t)
  for (const version of ['two', 'three']) {
    await gateway.dir.write({ 'plugins/greeter/plugin.ts': sourceOf(version) })
    await gateway.greets(version)
  }
  const back = () => gateway.cardea('plugin', 'rollback', 'greeter')
  assert.equal((await back()).code, 0)
  assert.equal(await gateway.greeting(), 'two')
  const { stdout } = await gateway.cardea('plugin', 'versions', 'greeter')
  assert.match(stdout, /\n"cardea plugin rollback greeter" brings 1\.0\.0 \([0-9a-f]{8}\) back\.\n$/)
  assert.equal((await back()).code, 0)
  assert.equal(await gateway.greeting(), 'one')
  assert.match((await back()).stderr, /^ROLLBACK_EXHAUSTED: There is no version of plugin "greeter" left /)
  assert.equal(await gateway.greeting(), 'one')
})

test('a version of a plugin is listed, brought back, switched off and on, and made anew', async (t) => {
  const gateway = await start(t)
  await gateway.dir.write({
    'plugins/greeter/plugin.json': { name: 'greeter', version: '1.1.0', category: 'transform' },
    'plugins/greeter/plugin.ts': sourceOf('two'),
  })
  await gateway.greets('two')
  const versions = await gateway.cardea('plugin', 'versions', 'greeter')
  assert.match(versions.stdout, /^ {2}1\.1\.0 +[0-9a-f]{8} {2}live /m)
  assert.match(versions.stdout, /^ {2}1\.0\.0 +[0-9a-f]{8} /m)

  const back = await gateway.cardea('plugin', 'rollback', 'greeter', '1.0.0')
  assert.equal(back.code, 0, back.stderr)
  assert.equal(await gateway.greeting(), 'one')
  const ran = await gateway.json<PluginVersion[]>('plugin', 'versions', 'greeter')
  assert.deepEqual(
    ran.map(({ version, generations }) => [version, generations.map(({ first, last }) => [first, last])]),
    [
      [
        '1.0.0',
        [
          [1, 1],
          [3, 3],
        ],
      ],
      ['1.1.0', [[2, 2]]],
    ],
  )
  const info = await gateway.cardea('plugin', 'info', 'greeter')
  assert.match(info.stdout, /^Plugin greeter 1\.0\.0: active\n/)
  assert.match(info.stdout, /^ {2}1\.0\.0 +[0-9a-f]{8} {2}live {2}1, 3 /m)
  assert.match(info.stdout, /^Instance greeter: active, 0 failures, on route all$/m)

  const off = await gateway.cardea('plugin', 'disable', 'greeter')
  assert.equal(off.code, 0, off.stderr)
  assert.equal(await gateway.greeting(), null)
  assert.match((await gateway.cardea('status')).stdout, /disabled by "cardea plugin disable"$/m)
  const listed = async () => (await gateway.cardea('plugin', 'versions', 'greeter')).stdout
  assert.doesNotMatch(await listed(), /live/)
  assert.equal((await gateway.cardea('plugin', 'enable', 'greeter')).code, 0)
  assert.equal(await gateway.greeting(), 'one')
  assert.match(await listed(), /^ {2}1\.0\.0 +[0-9a-f]{8} {2}live /m)
  const reload = await gateway.cardea('plugin', 'reload', 'greeter')
  assert.match(reload.stdout, /instances made anew: greeter; carried over: none$/m)
  const unknown = await gateway.cardea('plugin', 'info', 'greeting')
  assert.deepEqual([unknown.code, unknown.stdout], [1, ''])
  assert.match(unknown.stderr, /^PLUGIN_NOT_FOUND: .*"?greeting"?/)
})

test('a broken file is shown with its line, what serves serves on, and mending it is enough', async (t) => {
  const gateway = await start(t)
  await gateway.dir.write({ 'plugins/greeter/plugin.ts': '\nexport const PluginMain = ( => 1\n' })
  await gateway.pending('failed')
  const status = await gateway.cardea('status')
  assert.match(status.stdout, /^The change failed at build: generation 1 serves on$/m)
  assert.match(status.stdout, /^ {2}plugins\/greeter\/plugin\.ts:2:29 PLUGIN_BUILD_FAILED /m)
  assert.match(status.stdout, /^ {4}2 \| export const PluginMain = \( => 1\n {6}\| {29}\^$/m)
  assert.match(status.stdout, /^ {2}greeter 1\.0\.0 runs on$/m)
  assert.equal(await gateway.greeting(), 'one')
  await gateway.dir.write({ 'plugins/greeter/plugin.ts': sourceOf('one') })
  await waitFor(
    () => /The files are in order again, generation 1 serves on/.test(gateway.stderr),
    'the old file',
  )
  await gateway.dir.write({ 'plugins/greeter/plugin.ts': sourceOf('three') })
  await gateway.greets('three')
  assert.equal((await gateway.json<GatewayStatus>('status')).pending, null)
})

test('a config that is broken says of no plugin that it is not on disk, after a new supervisor neither', async (t) => {
  const gateway = await start(t)
  const config = await readFile(join(gateway.dir.path, 'cardea.yaml'), 'utf8')
  const head = async () => {
    const { stdout } = await gateway.cardea('plugin', 'info', 'greeter')
    return stdout.split('\n')[0]
  }
  const isListed = async () =>
    /^ {2}greeter +1\.0\.0 +plugins\/greeter +active$/m.test((await gateway.cardea('status')).stdout)
  await gateway.dir.write({ 'cardea.yaml': `${config}}` })
  await gateway.pending('failed')
  assert.deepEqual([await head(), await isListed()], ['Plugin greeter 1.0.0: active', true])
  await killProcesses(gateway.pids('cardea: supervisor'))
  await gateway.pending('failed')
  assert.deepEqual([await head(), await isListed()], ['Plugin greeter 1.0.0: active', true])
  // As far as it can be read, plugins are looked at along with it.
  await gateway.dir.write({
    'cardea.yaml': config.replace('"here"', '"${MISSING}"'),
    'plugins/greeter/plugin.ts': 'export const PluginMain = ( => 1\n',
  })
  await waitFor(
    async () => (await head())?.startsWith('Plugin greeter 1.0.0: runs; on disk it is failed at build:'),
    'both',
  )
  await gateway.dir.write({ 'cardea.yaml': config, 'plugins/greeter/plugin.ts': sourceOf('two') })
  await gateway.greets('two')
})

test('a route that would lose its security plugin is held until approve', async (t) => {
  const gateway = await start(t, greeter('guarded', 'security'))
  await rm(join(gateway.dir.path, 'plugins/greeter'), { recursive: true })
  await gateway.pending('held')
  const held = await gateway.cardea('status')
  assert.match(held.stdout, /^The change is held: generation 1 serves on$/m)
  assert.match(held.stdout, /^ {2}route all would lose security plugin greeter: .*gone/m)
  assert.equal(await gateway.greeting(), 'guarded')
  const approved = await gateway.cardea('approve')
  assert.equal(approved.code, 0, approved.stderr)
  assert.equal(await gateway.greeting(), null)
  const [newest] = await gateway.json<HistoryEntry[]>('history')
  assert.equal(newest?.cause.kind, 'approve')
})

test('a rollback that had to be approved tells what it holds back, as any other does', async (t) => {
  const gateway = await start(t)
  await gateway.dir.write({
    'plugins/greeter/plugin.json': { name: 'greeter', version: '1.0.0', category: 'security' },
  })
  await waitFor(async () => (await gateway.json<GatewayStatus>('status')).generation === 2, 'a guard')
  const told = /^ {2}What differs on disk is held until it changes: greeter; "cardea release" lets it in/m
  const held = await gateway.cardea('rollback', '1')
  assert.match(held.stderr, /^The change is held: generation 2 serves on$/m)
  assert.doesNotMatch(held.stderr, told)
  const approved = await gateway.cardea('approve')
  assert.match(approved.stdout, /^ {2}cause {5}approve: rollback to generation 1, by /m)
  assert.match(approved.stdout, told)
  assert.match(
    (await gateway.cardea('history')).stdout,
    /^ {2}3 +live .* approve: rollback to generation 1 /m,
  )
})

test('a command waits for a supervisor that was killed, and a gateway that ended leaves no socket', async (t) => {
  const gateway = await start(t)
  const [supervisor] = gateway.pids('cardea: supervisor')
  assert.ok(supervisor)
  await killProcesses([supervisor])
  const reload = await gateway.cardea('plugin', 'reload', 'greeter')
  assert.equal(reload.code, 0, reload.stderr)
  await gateway.stop()
  assert.equal(existsSync(join(gateway.dir.path, '.cardea/control.sock')), false)
  const status = await gateway.cardea('status')
  assert.equal(status.code, 1)
  assert.match(status.stderr, /^GATEWAY_NOT_RUNNING: No gateway runs in .*"cardea serve"/)
})

test('dev shows the way of each request, changes and errors, also after its supervisor was killed', async (t) => {
  await using dir = await withTempDir()
  await dir.write({
    'cardea.yaml': { listen: [{ host: '127.0.0.1', port: 0 }], ...CONFIG },
    'plugins/greeter/plugin.json': { name: 'greeter', version: '1.0.0' },
    'plugins/greeter/plugin.ts': sourceOf('one'),
  })
  const dev = startCommand(t, ['dev'], { cwd: dir.path })
  const url = `http://127.0.0.1:${await dev.readyPort()}`
  const shown = (what: RegExp, deadlineMs = 30_000) =>
    waitFor(() => what.exec(dev.stdout), `${what} in ${dev.stdout}`, deadlineMs)
  assert.doesNotMatch(dev.stdout, /\u001b/)

  const line = /^GET \/first → route all · greeter \d+\.\d ms ✓ · 200 in \d+\.\d ms$/m
  await waitFor(async () => {
    const response = await fetch(`${url}/first`)
    assert.match(response.headers.get('x-cardea-generation') ?? '', /^1$/)
    return line.test(dev.stdout)
  }, 'the way of a request')

  await dir.write({ 'plugins/greeter/plugin.ts': sourceOf('two') })
  await shown(
    /^Generation 2 is live after .*: plugin greeter 1\.0\.0: new code\n {2}cause {5}saved plugins\/greeter\/plugin\.ts\n/m,
  )
  await dir.write({ 'plugins/greeter/plugin.ts': '\nexport const PluginMain = ( => 1\n' })
  await shown(
    /^The change failed at build: generation 2 serves on\n(?:.*\n)+? {4}2 \| export const PluginMain = \( => 1\n/m,
  )

  const supervisor = await waitFor(
    async () => Number(/\d+/.exec(await readFile(`/proc/${dev.pid}/task/${dev.pid}/children`, 'utf8'))?.[0]),
    'the supervisor',
  )
  await killProcesses([supervisor])
  await shown(/^The supervisor was started anew: generation 2 serves on$/m)
  await waitFor(async () => {
    await fetch(`${url}/again`)
    return /^GET \/again → route all · /m.test(dev.stdout)
  }, 'the way of a request after the restart')
  await dir.write({ 'plugins/greeter/plugin.ts': sourceOf('three') })
  await shown(/^Generation 3 is live after /m)
  assert.doesNotMatch(dev.stderr, /"level":"(info|debug)"/)
  dev.signal('SIGINT')
  assert.deepEqual(await dev.exited, { code: 0, signal: null })
})

test('dev shows once why a start cannot do what the files say, and mending them is enough', async (t) => {
  await using dir = await withTempDir()
  await dir.write({
    'cardea.yaml': { listen: [{ host: '127.0.0.1', port: 0 }], ...CONFIG },
    'plugins/greeter/plugin.json': { name: 'greeter', version: '1.0.0' },
    'plugins/greeter/plugin.ts': '\nexport const PluginMain = ( => 1\n',
  })
  const dev = startCommand(t, ['dev'], { cwd: dir.path })
  const url = `http://127.0.0.1:${await dev.readyPort()}`
  const failure = /^The change failed at build: /gm
  await waitFor(() => dev.stdout.match(failure) !== null, 'the failure')
  await waitFor(() => /othing can be served, requests are answered 503$/m.test(dev.stdout), 'what serves')
  assert.equal((await fetch(url)).status, 503)
  await dir.write({ 'plugins/greeter/plugin.ts': sourceOf('mended') })
  await waitFor(async () => (await fetch(url)).headers.get('x-greeting') === 'mended', 'the mended plugin')
  // One may be left out while the view writes.
  await waitFor(async () => {
    await fetch(url)
    return /^GET \/ → route all · greeter /m.test(dev.stdout)
  }, 'the way of a request')
  assert.equal(dev.stdout.match(failure)?.length, 1)
  assert.doesNotMatch(dev.stderr, /Unexpected/)
})

test('a gateway whose .cardea was removed is found again, and keeps its folder', async (t) => {
  const gateway = await start(t)
  await rm(join(gateway.dir.path, '.cardea'), { recursive: true, maxRetries: 5 })
  await waitFor(async () => (await gateway.cardea('status')).code === 0, 'an answer')
  const other = await gateway.cardea('serve')
  assert.deepEqual([other.code, other.stdout], [1, ''])
  assert.match(other.stderr, /^STORE_LOCKED: /)
  assert.equal(await gateway.greeting(), 'one')
})
