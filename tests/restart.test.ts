import assert from 'node:assert/strict'
import { readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { runCommand } from './support/cardea-command.ts'
import { startGateway, startGatewayIn, type TestGateway } from './support/gateway.ts'
import { sayings } from './support/log-lines.ts'
import { haveEnded, killProcesses } from './support/processes.ts'
import { waitFor } from './support/wait-for.ts'

/** What a gateway serves that is started again in its folder, whatever became of the files meanwhile. */

const CONFIG = {
  listen: [{ host: '127.0.0.1', port: 0 }],
  workers: 2,
  debug: true,
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
}
/** For what is said and decided before there is any worker: a second one would only take time, at each of the starts. */
const SMALL = { ...CONFIG, workers: 1 }
const PLUGIN = 'plugins/guard/plugin.ts'
const SUPERVISOR = 'cardea: supervisor'

const sourceOf = (version: string, start = ''): string => `export const PluginMain = () => {
  ${start}
  return {
    name: 'guard',
    handle(ctx) {
      ctx.response.headers.set('x-guard', '${version}')
      return true
    },
  }
}
`

const guard = (version: string) => ({
  'plugin.json': { name: 'guard', version: '1.0.0', category: 'security' },
  'plugin.ts': sourceOf(version),
})

/** A gateway that served `version`, and has ended. */
async function served(t: TestContext, version = 'one'): Promise<TestGateway> {
  const gateway = await startGateway(t, {
    config: SMALL,
    plugins: { guard: guard(version) },
  })
  assert.equal(await guardOf(gateway), version)
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  return gateway
}

const again = (t: TestContext, { dir }: TestGateway): Promise<TestGateway> => startGatewayIn(t, dir)

async function answerOf({ url }: TestGateway): Promise<Response> {
  const response = await fetch(url, { headers: { connection: 'close' } })
  await response.text()
  return response
}

/** Of the security plugin that answered; null when none has run. */
async function guardOf(gateway: TestGateway): Promise<string | null> {
  const response = await answerOf(gateway)
  assert.equal(response.status, 200)
  return response.headers.get('x-guard')
}

/** That was decided last. */
async function generationOf({ dir }: TestGateway): Promise<number> {
  const names = await readdir(join(dir.path, '.cardea/generations'))
  return Math.max(...names.map((name) => Number.parseInt(name, 10)))
}

/** The gateway may be writing there: what comes meanwhile is removed too. */
const removeStore = ({ dir }: TestGateway): Promise<void> =>
  rm(join(dir.path, '.cardea'), { recursive: true, maxRetries: 20, retryDelay: 10 })

const guards = (gateway: TestGateway, version: string | null): Promise<boolean> =>
  waitFor(async () => (await guardOf(gateway)) === version, `guard ${version}`)

const cardea = ({ dir }: TestGateway, t: TestContext, ...args: string[]) =>
  runCommand(t, args, { cwd: dir.path })

test('a start with broken files serves what served last, says so, and heals; --strict ends with 1', async (t) => {
  let gateway = await served(t)
  const breakages = {
    'a config that is no config': { 'cardea.yaml': 'listen: [' },
    'an unknown key': { 'cardea.yaml': { ...SMALL, worker: 3 } },
    'a plugin that does not compile': { [PLUGIN]: 'export const' },
    'a plugin that does not start': { [PLUGIN]: sourceOf('two', `throw new Error('no database')`) },
  }
  for (const [name, files] of Object.entries(breakages)) {
    await t.test(name, async () => {
      await gateway.dir.write(files)
      const strict = await cardea(gateway, t, 'serve', '--strict')
      assert.deepEqual([strict.code, strict.stdout], [1, ''], strict.stderr)
      assert.match(strict.stderr, /^(cardea\.yaml|plugins\/guard\/plugin\.ts):\d+:\d+ [A-Z_]+ /m)

      const before = await generationOf(gateway)
      gateway = await again(t, gateway)
      assert.match(gateway.stderr, new RegExp(`^THE FILES ARE NOT SERVED: generation ${before}, which`, 'm'))
      assert.equal((await answerOf(gateway)).headers.get('x-cardea-generation'), `${before}`)
      await gateway.dir.write({ 'cardea.yaml': SMALL, [PLUGIN]: sourceOf(name) })
      await guards(gateway, name)
      assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
    })
  }
})

test('a first start with a mistake in its config listens where that says, and goes on with it once it is mended', async (t) => {
  const gateway = await startGateway(t, { config: { ...SMALL, worker: 3, limits: { connections: 'many' } } })
  assert.match(gateway.url, /^http:\/\/127\.0\.0\.1:/)
  assert.equal((await answerOf(gateway)).status, 503)
  assert.equal(gateway.pids('cardea: worker').length, 1)
  await gateway.dir.write({ 'cardea.yaml': SMALL })
  await waitFor(async () => (await answerOf(gateway)).status === 200, 'the mended config')
  assert.doesNotMatch(gateway.stderr, /restart/)
})

test('a security plugin that went while the gateway was down is missed: its start is held until approve', async (t) => {
  const first = await served(t)
  await rm(join(first.dir.path, 'plugins/guard'), { recursive: true })
  const strict = await cardea(first, t, 'serve', '--strict')
  assert.deepEqual([strict.code, strict.stdout], [1, ''])
  assert.match(strict.stderr, /^CHANGE_HELD .*"guard"/m)

  const gateway = await again(t, first)
  assert.equal(await guardOf(gateway), 'one')
  // Nor does a supervisor forget that dies and is started anew.
  const said = sayings(gateway)
  await killProcesses(gateway.pids(SUPERVISOR))
  await said(/The change is held, generation 1 serves on/)
  assert.equal(await guardOf(gateway), 'one')
  const approved = await cardea(gateway, t, 'approve')
  assert.equal(approved.code, 0, approved.stderr)
  assert.equal(await guardOf(gateway), null)
  await gateway.stop()
  // What was approved is what later starts are compared with.
  assert.equal(await guardOf(await again(t, gateway)), null)
})

test('a security plugin is missed too where the config has got another name meanwhile', async (t) => {
  const first = await served(t)
  await rename(join(first.dir.path, 'cardea.yaml'), join(first.dir.path, 'prod.yaml'))
  const prod = { args: ['--config', join(first.dir.path, 'prod.yaml')] }
  const renamed = await startGatewayIn(t, first.dir, prod)
  assert.equal(await guardOf(renamed), 'one')
  assert.match(
    renamed.stderr,
    /Generation 2 is live: .* generation 1, which was committed last, is of cardea\.yaml/,
  )
  await renamed.stop()

  await rename(join(first.dir.path, 'prod.yaml'), join(first.dir.path, 'cardea.yaml'))
  await rm(join(first.dir.path, 'plugins/guard'), { recursive: true })
  const gateway = await again(t, first)
  const had = 'generation 2 of prod\\.yaml, which served last in this folder, has it'
  assert.match(gateway.stderr, new RegExp(`^CHANGE_HELD .*"guard", .*; ${had}`, 'm'))
  assert.match(gateway.stderr, /^NOTHING IS SERVED: /m)
  assert.equal((await answerOf(gateway)).status, 503)
  const approved = await cardea(gateway, t, 'approve')
  assert.equal(approved.code, 0, approved.stderr)
  assert.equal(await guardOf(gateway), null)
})

test('a rollback outlives starts, and ends with the first change of what it rejected', async (t) => {
  const first = await served(t)
  await first.dir.write({ [PLUGIN]: sourceOf('two') })
  const second = await again(t, first)
  assert.equal(await guardOf(second), 'two')
  await second.stop()

  const third = await again(t, first)
  const back = await cardea(third, t, 'rollback', '1')
  assert.equal(back.code, 0, back.stderr)
  assert.equal(await guardOf(third), 'one')
  await third.stop()

  const fourth = await again(t, first)
  assert.equal(await guardOf(fourth), 'one')
  await fourth.dir.write({ [PLUGIN]: sourceOf('three') })
  await guards(fourth, 'three')
})

test('a second gateway in a folder is refused, and the first notices nothing', async (t) => {
  const gateway = await startGateway(t, { config: CONFIG, plugins: { guard: guard('one') } })
  const second = await cardea(gateway, t, 'serve')
  assert.deepEqual([second.code, second.stdout], [1, ''])
  assert.match(second.stderr, new RegExp(`^STORE_LOCKED.*process number ${gateway.pid} `, 'm'))
  await gateway.dir.write({ [PLUGIN]: sourceOf('two') })
  await guards(gateway, 'two')
})

test('a gateway whose master was killed can be started again at once, on what was decided last', async (t) => {
  const first = await startGateway(t, { config: CONFIG, plugins: { guard: guard('one') } })
  await first.dir.write({ [PLUGIN]: sourceOf('two') })
  await guards(first, 'two')
  const pids = first.pids()
  await killProcesses([first.pid])
  await first.dir.write({ [PLUGIN]: 'export const' })
  const gateway = await again(t, first)
  assert.equal(await guardOf(gateway), 'two')
  await haveEnded(pids)
  await gateway.dir.write({ [PLUGIN]: sourceOf('three') })
  await guards(gateway, 'three')
})

test('a store that is deleted while the gateway runs costs the history, and nothing else', async (t) => {
  const gateway = await startGateway(t, { config: CONFIG, plugins: { guard: guard('one') } })
  await removeStore(gateway)
  await gateway.dir.write({ [PLUGIN]: sourceOf('two') })
  await guards(gateway, 'two')
  await gateway.stop()
  assert.equal(await guardOf(await again(t, gateway)), 'two')
})

test('a change that could not be kept on disk goes live once it can, without another save', async (t) => {
  const gateway = await startGateway(t, { config: CONFIG, plugins: { guard: guard('one') } })
  const said = sayings(gateway)
  const blobs = join(gateway.dir.path, '.cardea/blobs')
  await rename(blobs, `${blobs}.aside`)
  await writeFile(blobs, 'no folder')
  await gateway.dir.write({ [PLUGIN]: sourceOf('two') })
  await said(/The change could not be kept on disk, and is tried again/)
  assert.equal(await guardOf(gateway), 'one')
  await rm(blobs)
  await rename(`${blobs}.aside`, blobs)
  await guards(gateway, 'two')
  await gateway.stop()
  assert.equal(await guardOf(await again(t, gateway)), 'two')
})

test('a supervisor that finds no store any more goes on from what the workers have', async (t) => {
  const gateway = await startGateway(t, { config: CONFIG, plugins: { guard: guard('one') } })
  const said = sayings(gateway)
  await removeStore(gateway)
  await rm(join(gateway.dir.path, 'plugins/guard'), { recursive: true })
  await killProcesses(gateway.pids(SUPERVISOR))
  await said(/The change is held, generation 1 serves on: .*security plugin \\"guard\\"/)
  assert.equal(await guardOf(gateway), 'one')
  const { stdout } = await cardea(gateway, t, 'status')
  assert.match(stdout, /: generation 1 serves\n/)
  assert.match(stdout, /^The change is held: generation 1 serves on$/m)
  assert.match(stdout, /^ {2}guard +1\.0\.0 +active +0$/m)
  await gateway.dir.write({
    'plugins/guard/plugin.json': guard('two')['plugin.json'],
    [PLUGIN]: sourceOf('two'),
  })
  // Its number was never given before: a worker swaps to none that it has.
  await said(/Generation 2 is live/)
  assert.match(gateway.stderr, /Generation 2 is live: plugin guard 1\.0\.0: new code/)
  await guards(gateway, 'two')
})

test('a supervisor that finds no store any more tells changes by what the workers have', async (t) => {
  const gateway = await startGateway(t, { config: CONFIG, plugins: { guard: guard('one') } })
  const said = sayings(gateway)
  await removeStore(gateway)
  await killProcesses(gateway.pids(SUPERVISOR))
  const same = await said(/"started":\S+,.*Generation 2 is live: nothing to be seen differs/)
  assert.match(same, /"started":\[\],"carried":\["guard"\],/)
  const { stdout } = await cardea(gateway, t, 'history')
  assert.match(stdout, /^ *2 +live /m)
  assert.doesNotMatch(stdout, /first generation/)
})
