import assert from 'node:assert/strict'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { askGateway } from '../packages/gateway/src/cli/control-client.ts'
import type { ChangeReport, GatewayStatus } from '../packages/gateway/src/protocol/control.ts'
import { type CommandResult, runCommand } from './support/cardea-command.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { killProcesses } from './support/processes.ts'
import { waitFor } from './support/wait-for.ts'

/** What is asked of one plugin acts on what serves: files of others that are broken or held on disk have no part in it. */

const CONFIG = {
  workers: 1,
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
}
const BROKEN = '\nexport const PluginMain = ( => 1\n'

/** Says in a header of its name that it ran, and as what. */
const tagging = (name: string, value: string, category = 'transform') => ({
  'plugin.json': { name, version: '1.0.0', category },
  'plugin.ts': sourceOf(name, value),
})

function sourceOf(name: string, value: string): string {
  return `export const PluginMain = () => ({
  name: '${name}',
  handle(ctx) {
    ctx.response.headers.set('x-${name}', '${value}')
    return true
  },
})
`
}

interface Running extends TestGateway {
  cardea(...args: string[]): Promise<CommandResult>
  /** Runs a command that must succeed. */
  done(...args: string[]): Promise<CommandResult>
  status(): Promise<GatewayStatus>
  /** Waits until the newest change of files has this outcome. */
  files(outcome: ChangeReport['outcome'] | 'live'): Promise<void>
  /** What the plugins say that ran: `auth one, hello one, obs one`. */
  ran(): Promise<string>
  runs(wanted: string): Promise<void>
  /** Saves the code of a plugin. */
  save(name: string, source: string): Promise<void>
}

async function start(t: TestContext): Promise<Running> {
  const plugins = {
    auth: tagging('auth', 'one', 'security'),
    hello: tagging('hello', 'one'),
    obs: tagging('obs', 'one'),
  }
  const gateway = await startGateway(t, { config: CONFIG, plugins })
  const directory = gateway.dir.path
  const cardea = (...args: string[]) => runCommand(t, args, { cwd: directory })
  const status = () => askGateway({ command: 'status' }, { directory, who: 'a test' })
  const ran = async (): Promise<string> => {
    const { headers } = await fetch(gateway.url)
    const said = Object.keys(plugins).map((name) => [name, headers.get(`x-${name}`)] as const)
    return said.flatMap(([name, value]) => (value === null ? [] : [`${name} ${value}`])).join(', ')
  }
  return Object.assign(Object.create(gateway) as TestGateway, {
    cardea,
    status,
    ran,
    done: async (...args: string[]) => {
      const result = await cardea(...args)
      assert.equal(result.code, 0, result.stderr)
      return result
    },
    files: async (outcome: ChangeReport['outcome'] | 'live') => {
      const is = async (): Promise<boolean> => ((await status()).pending?.outcome ?? 'live') === outcome
      await waitFor(is, `a change of files that is ${outcome}`, 30_000)
    },
    runs: async (wanted: string) => {
      await waitFor(async () => (await ran()) === wanted, wanted, 30_000)
    },
    save: (name: string, source: string) => gateway.dir.write({ [`plugins/${name}/plugin.ts`]: source }),
  })
}

test('a plugin is switched off and on, made anew and taken back while another one does not compile', async (t) => {
  const gateway = await start(t)
  await gateway.save('obs', sourceOf('obs', 'two'))
  await gateway.runs('auth one, hello one, obs two')
  await gateway.save('hello', BROKEN)
  await gateway.files('failed')
  await gateway.done('plugin', 'disable', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello one')
  await gateway.done('plugin', 'enable', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs two')
  const { stdout } = await gateway.done('plugin', 'reload', 'obs')
  assert.match(stdout, /instances made anew: obs; carried over: auth, hello$/m)
  const [, former] = (await gateway.done('plugin', 'versions', 'obs')).stdout.match(/[0-9a-f]{8}/g) ?? []
  await gateway.done('plugin', 'rollback', 'obs', former ?? '')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs one')
  await gateway.done('plugin', 'disable', 'obs')
  // What stands on disk is told of as before, and comes in once it is mended; the switch stays.
  await gateway.files('failed')
  const shown = (await gateway.done('status')).stdout
  assert.match(shown, /^ {2}plugins\/hello\/plugin\.ts:2:29 PLUGIN_BUILD_FAILED /m)
  assert.match(shown, /^ {2}hello 1\.0\.0 runs on$/m)
  await gateway.save('hello', sourceOf('hello', 'two'))
  await gateway.runs('auth one, hello two')
  await gateway.files('live')
  await gateway.done('plugin', 'enable', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello two, obs one')
})

test('what is held stays held while another plugin is switched, and approving it does nothing else', async (t) => {
  const gateway = await start(t)
  await rm(join(gateway.dir.path, 'plugins/auth'), { recursive: true })
  await gateway.files('held')
  await gateway.done('plugin', 'reload', 'auth')
  await gateway.done('plugin', 'disable', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello one')
  await gateway.files('held')
  await gateway.done('approve')
  assert.equal(await gateway.ran(), 'hello one')
})

test('a switch by which a route would lose a security plugin is held by itself, and approved by itself', async (t) => {
  const gateway = await start(t)
  await gateway.save('hello', BROKEN)
  await gateway.files('failed')
  const held = await gateway.cardea('plugin', 'disable', 'auth')
  assert.equal(held.code, 1)
  assert.match(held.stderr, /^The change is held: generation 1 serves on$/m)
  const { stdout } = await gateway.done('status')
  assert.match(stdout, /^Asked for, but not live .*\n.*held.*\n.*disable auth/m)
  assert.match(stdout, /^On disk, but not live .*\nThe change failed at build/m)
  assert.equal(await gateway.ran(), 'auth one, hello one, obs one')
  await gateway.done('approve')
  assert.equal(await gateway.ran(), 'hello one, obs one')
  const { asked } = await gateway.status()
  assert.equal(asked, null)
  const { stderr } = await gateway.cardea('approve')
  assert.match(stderr, /^NOTHING_HELD: /)
})

test('what is held of a switch gives way to the next save', async (t) => {
  const gateway = await start(t)
  assert.equal((await gateway.cardea('plugin', 'disable', 'auth')).code, 1)
  await gateway.save('hello', sourceOf('hello', 'two'))
  await gateway.runs('auth one, hello two, obs one')
  await waitFor(async () => (await gateway.status()).asked === null, 'nothing to be held')
  assert.match((await gateway.cardea('approve')).stderr, /^NOTHING_HELD: /)
})

test('reload and enable take the files of their plugin, and of no other', async (t) => {
  const gateway = await start(t)
  await gateway.save('hello', BROKEN)
  await gateway.files('failed')
  await gateway.save('obs', sourceOf('obs', 'two'))
  await gateway.files('failed')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs one')
  await gateway.done('plugin', 'reload', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs two')
  const own = await gateway.cardea('plugin', 'reload', 'hello')
  assert.equal(own.code, 1)
  assert.match(own.stderr, /^The change failed at build: /m)
  assert.equal(await gateway.ran(), 'auth one, hello one, obs two')
  await gateway.done('plugin', 'disable', 'obs')
  await gateway.save('obs', sourceOf('obs', 'three'))
  await gateway.done('plugin', 'enable', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs three')
})

test('a plugin that was switched off before a save and a restart of the supervisor is switched on from its files', async (t) => {
  const gateway = await start(t)
  await gateway.done('plugin', 'disable', 'obs')
  // From now on its code is no part of what serves.
  await gateway.save('hello', sourceOf('hello', 'two'))
  await gateway.runs('auth one, hello two')
  const [supervisor] = gateway.pids('cardea: supervisor')
  assert.ok(supervisor)
  await killProcesses([supervisor])
  await gateway.save('hello', BROKEN)
  await gateway.files('failed')
  // What has no part in it is still told of.
  await gateway.done('plugin', 'reload', 'auth')
  await gateway.done('plugin', 'enable', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello two, obs one')
})

test('a plugin that was renamed or deleted while it was switched off is switched on as it stands, or not at all', async (t) => {
  const gateway = await start(t)
  const plugins = join(gateway.dir.path, 'plugins')
  const generation = async (): Promise<number> => (await gateway.status()).generation
  await gateway.done('plugin', 'disable', 'obs')
  await rename(join(plugins, 'obs'), join(plugins, 'observer'))
  await gateway.done('plugin', 'enable', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs one')
  // The look at the files that follows has nothing left to do: the next generation is that of the next command.
  await gateway.done('plugin', 'reload', 'auth')
  assert.equal(await generation(), 4)
  await gateway.done('plugin', 'disable', 'obs')
  await rm(join(plugins, 'observer'), { recursive: true })
  const { stdout } = await gateway.done('plugin', 'enable', 'obs')
  assert.match(stdout, /: plugin "obs" is not disabled any more, and runs nowhere$/m)
  assert.equal(await gateway.ran(), 'auth one, hello one')
})

test('a plugin that is switched off is told of as its files stand, which change nothing that runs', async (t) => {
  const gateway = await start(t)
  const told = async (): Promise<string> => {
    const asked = { directory: gateway.dir.path, who: 'a test' }
    const { version, folder, state } = await askGateway({ command: 'plugin-info', plugin: 'obs' }, asked)
    return [version, basename(folder), state.kind].join(' ')
  }
  const tells = (wanted: string) => waitFor(async () => (await told()) === wanted, wanted)
  await gateway.done('plugin', 'disable', 'obs')
  await gateway.dir.write({ 'plugins/obs/plugin.json': { name: 'obs', version: '2.0.0' } })
  await tells('2.0.0 obs disabled')
  await rename(join(gateway.dir.path, 'plugins/obs'), join(gateway.dir.path, 'plugins/observer'))
  await tells('2.0.0 observer disabled')
  await rm(join(gateway.dir.path, 'plugins/observer'), { recursive: true })
  await tells('  disabled')
  assert.equal((await gateway.status()).generation, 2)
})

test('a rollback of a plugin that is switched off says that it stays so', async (t) => {
  const gateway = await start(t)
  await gateway.save('obs', sourceOf('obs', 'two'))
  await gateway.runs('auth one, hello one, obs two')
  await gateway.done('plugin', 'disable', 'obs')
  const { stdout } = await gateway.done('plugin', 'rollback', 'obs')
  assert.match(
    stdout,
    /^ {2}note +plugin obs is switched off and runs nowhere: "cardea plugin enable obs" ends that$/m,
  )
  assert.equal(await gateway.ran(), 'auth one, hello one')
  await gateway.done('plugin', 'enable', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs one')
})

test('a plugin that is broken on disk is switched off, and all that waited for it goes live', async (t) => {
  const gateway = await start(t)
  await gateway.save('hello', BROKEN)
  await gateway.files('failed')
  await gateway.save('obs', sourceOf('obs', 'two'))
  await gateway.done('plugin', 'disable', 'hello')
  await gateway.runs('auth one, obs two')
  await gateway.files('live')
})

test('what a command lets in from the files is not said to be saved', async (t) => {
  const gateway = await start(t)
  await gateway.save('hello', BROKEN)
  await gateway.files('failed')
  await gateway.save('obs', sourceOf('obs', 'two'))
  const isSaved = (file: string): boolean => file.endsWith('obs/plugin.ts')
  await waitFor(async () => {
    const cause = (await gateway.status()).pending?.cause
    return cause?.kind === 'files' && cause.files.some(isSaved)
  }, 'the save of obs')
  await gateway.done('plugin', 'disable', 'hello')
  await gateway.runs('auth one, obs two')
  const { stdout } = await gateway.done('history')
  assert.match(stdout, /^ {2}3 +live .* a look at the files after a command +plugin obs 1\.0\.0: new code$/m)
})

test('what a rollback holds back is not let in by reload, and changes nothing else', async (t) => {
  const gateway = await start(t)
  await gateway.save('obs', sourceOf('obs', 'two'))
  await gateway.runs('auth one, hello one, obs two')
  await gateway.done('rollback')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs one')
  await gateway.done('plugin', 'reload', 'obs')
  await gateway.done('plugin', 'reload', 'hello')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs one')
  assert.deepEqual(
    (await gateway.status()).pins.map(({ unit }) => unit),
    ['obs'],
  )
  await gateway.save('hello', BROKEN)
  await gateway.files('failed')
  await gateway.save('obs', sourceOf('obs', 'three'))
  await gateway.done('plugin', 'reload', 'obs')
  assert.equal(await gateway.ran(), 'auth one, hello one, obs three')
  assert.deepEqual((await gateway.status()).pins, [])
})

test('a plugin that is made anew is no other generation for the files that stand there', async (t) => {
  const gateway = await start(t)
  for (const name of ['auth', 'hello', 'obs']) await gateway.done('plugin', 'reload', name)
  await gateway.dir.write({
    'cardea.yaml': { listen: [{ host: '127.0.0.1', port: 0 }], ...CONFIG, via: 'x' },
  })
  await waitFor(async () => (await gateway.status()).generation > 4, 'the generation of the config')
  assert.equal((await gateway.status()).generation, 5)
})

test('a command reads no config that somebody is just writing', async (t) => {
  const gateway = await start(t)
  const file = join(gateway.dir.path, 'cardea.yaml')
  const { listen } = JSON.parse(await readFile(file, 'utf8')) as { readonly listen: unknown }
  const two = { name: 'two', path: '/two', respond: { status: 200, body: 'two' } }
  const lines = [
    'workers: 1',
    `listen: ${JSON.stringify(listen)}`,
    'routes:',
    `  - ${JSON.stringify(CONFIG.routes[0])}`,
    `  - ${JSON.stringify(two)}`,
    '',
  ]
  await writeFile(file, lines.join('\n'))
  await waitFor(async () => (await gateway.status()).generation === 2, 'the second route')
  await writeFile(file, lines.slice(0, -2).join('\n'))
  await gateway.done('plugin', 'disable', 'obs')
  await writeFile(file, lines.join('\n'))
  await gateway.save('hello', sourceOf('hello', 'two'))
  await gateway.runs('auth one, hello two')
  assert.equal((await fetch(`${gateway.url}/two`)).status, 200)
  assert.doesNotMatch(gateway.stderr, /route two removed/)
})
