import assert from 'node:assert/strict'
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { runCommand } from './support/cardea-command.ts'
import { startGateway, startGatewayIn, type TestGateway } from './support/gateway.ts'
import { sayings } from './support/log-lines.ts'
import { killProcesses } from './support/processes.ts'
import { waitFor } from './support/wait-for.ts'

/**
 * A gateway that is started with a damaged store serves nothing without the security plugins that served last, and
 * where nothing tells which ones those were it waits for somebody's word.
 */

const CONFIG = {
  listen: [{ host: '127.0.0.1', port: 0 }],
  workers: 1,
  debug: true,
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
}
const GUARD = {
  'plugins/guard/plugin.json': { name: 'guard', version: '1.0.0', category: 'security' },
  'plugins/guard/plugin.ts': `export const PluginMain = () => ({
  name: 'guard',
  handle(ctx) {
    ctx.response.headers.set('x-guard', 'was here')
    return true
  },
})
`,
}

/** What a request met. */
type Met = 'guard' | 'nothing' | 'refusal'

async function met({ url }: TestGateway): Promise<Met> {
  const response = await fetch(url, { headers: { connection: 'close' } })
  await response.text()
  if (response.status === 503) return 'refusal'
  assert.equal(response.status, 200)
  return response.headers.get('x-guard') === null ? 'nothing' : 'guard'
}

const meets = (gateway: TestGateway, what: Met): Promise<boolean> =>
  waitFor(async () => (await met(gateway)) === what, what)

/** A gateway that has served, with `guard` from its first generation on or from its second, and has ended. */
async function served(t: TestContext, guardedFrom: 1 | 2): Promise<TestGateway> {
  const gateway = await startGateway(t, { config: CONFIG })
  await gateway.dir.write(GUARD)
  await meets(gateway, 'guard')
  if (guardedFrom === 1) {
    const said = sayings(gateway)
    await gateway.dir.write({ 'cardea.yaml': { ...CONFIG, debug: false } })
    await said(/Generation 3 is live/)
  }
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  return gateway
}

async function recordsIn({ dir }: TestGateway): Promise<string[]> {
  const folder = join(dir.path, '.cardea/generations')
  const names = await readdir(folder)
  return names
    .toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .map((name) => join(folder, name))
}

/** The record of the generation that served last. */
async function lastRecord(gateway: TestGateway): Promise<string> {
  return (await recordsIn(gateway)).at(-1) ?? assert.fail('no record')
}

const outlineIn = ({ dir }: TestGateway): string => join(dir.path, '.cardea/outline.record')

/** The file of the guard's code. */
async function bundleIn(gateway: TestGateway): Promise<string> {
  const [, body = ''] = (await readFile(await lastRecord(gateway), 'utf8')).split('\n')
  const { plugins } = JSON.parse(body) as { plugins: { bundleHash: string }[] }
  return join(gateway.dir.path, '.cardea/blobs', plugins[0]?.bundleHash ?? '')
}

const again = (t: TestContext, { dir }: TestGateway): Promise<TestGateway> => startGatewayIn(t, dir)

const cardea = ({ dir }: TestGateway, t: TestContext, ...args: string[]) =>
  runCommand(t, args, { cwd: dir.path })

async function approve(gateway: TestGateway, t: TestContext): Promise<void> {
  const approved = await cardea(gateway, t, 'approve')
  assert.equal(approved.code, 0, approved.stdout + approved.stderr)
}

test('a start whose last generation lost its code misses security plugins all the same', async (t) => {
  const first = await served(t, 2)
  await truncate(await bundleIn(first), 20)
  await rm(join(first.dir.path, 'plugins/guard'), { recursive: true })
  const strict = await cardea(first, t, 'serve', '--strict')
  assert.deepEqual([strict.code, strict.stdout], [1, ''])
  assert.match(strict.stderr, /^CHANGE_HELD .*"guard"/m)

  const gateway = await again(t, first)
  assert.match(gateway.stderr, /NOTHING IS SERVED: .*until the files are mended, or "cardea approve" is run/)
  assert.equal(await met(gateway), 'refusal')
  // Nor does a supervisor forget that dies and is started anew.
  const said = sayings(gateway)
  await killProcesses(gateway.pids('cardea: supervisor'))
  await said(/The change is held, nothing is served: .*security plugin \\"guard\\"/)
  assert.equal(await met(gateway), 'refusal')
  await approve(gateway, t)
  await meets(gateway, 'nothing')
  await gateway.stop()
  // What was approved is what later starts are compared with.
  assert.equal(await met(await again(t, gateway)), 'nothing')
})

test('a start whose last generation is damaged serves the files when they lack nothing, and heals the store', async (t) => {
  const first = await served(t, 2)
  await writeFile(await bundleIn(first), 'no code')
  const second = await again(t, first)
  assert.match(second.stderr, /Cannot bring back generation 2, which served last/)
  assert.equal(await met(second), 'guard')
  await second.stop()
  const third = await again(t, first)
  assert.doesNotMatch(third.stderr, /Cannot bring back/)
  await third.stop()
  // Its record alone is no different.
  await truncate(await lastRecord(first), 0)
  assert.equal(await met(await again(t, first)), 'guard')
})

test('a start that cannot read its last record falls back to an older generation only if that is as safe', async (t) => {
  for (const [guardedFrom, what] of [
    [1, 'guard'],
    [2, 'refusal'],
  ] as const) {
    await t.test(`the older one ${guardedFrom === 1 ? 'has' : 'has not'} the security plugin`, async (t) => {
      const first = await served(t, guardedFrom)
      await truncate(await lastRecord(first), 0)
      await first.dir.write({ 'cardea.yaml': 'listen: [' })
      const gateway = await again(t, first)
      assert.equal(await met(gateway), what)
      await gateway.dir.write({ 'cardea.yaml': CONFIG })
      await meets(gateway, 'guard')
    })
  }
})

test('a start that can read nothing of its last generation waits for approve, whatever the files say', async (t) => {
  const first = await served(t, 2)
  await truncate(await lastRecord(first), 0)
  await rm(outlineIn(first))
  const strict = await cardea(first, t, 'serve', '--strict')
  assert.deepEqual([strict.code, strict.stdout], [1, ''])
  assert.match(strict.stderr, /^CHANGE_HELD the generation that was committed last, 2, cannot be read/m)

  const gateway = await again(t, first)
  assert.equal(await met(gateway), 'refusal')
  const said = sayings(gateway)
  await gateway.dir.write({ 'cardea.yaml': { ...CONFIG, debug: false } })
  await said(
    /The change is held, nothing is served: the generation that was committed last, 2, cannot be read/,
  )
  const status = await cardea(gateway, t, 'status')
  assert.match(status.stdout, /cannot be read from \.cardea\/ any more/)
  await killProcesses(gateway.pids('cardea: supervisor'))
  await said(/Supervisor|supervisor ended/)
  assert.equal(await met(gateway), 'refusal')
  await waitFor(async () => (await cardea(gateway, t, 'approve')).code === 0, 'approve')
  await meets(gateway, 'guard')
  const { stdout } = await cardea(gateway, t, 'history')
  assert.match(
    stdout,
    /compared with nothing: generation 2, which was committed last, cannot be read any more$/m,
  )
  assert.doesNotMatch(stdout.split('\n')[1] ?? '', /first generation/)
})

test('a command acts on what serves although its stored files were damaged since, and they are whole again', async (t) => {
  const gateway = await startGateway(t, { config: CONFIG })
  await gateway.dir.write({
    ...GUARD,
    'plugins/guard/plugin.json': { name: 'guard', version: '1.0.0' },
    'plugins/other/plugin.json': { name: 'other', version: '1.0.0' },
    'plugins/other/plugin.ts': "export const PluginMain = () => ({ name: 'other', handle: () => true })\n",
  })
  await meets(gateway, 'guard')
  // What it serves now comes out of the store itself.
  for (const command of ['disable', 'enable']) await cardea(gateway, t, 'plugin', command, 'other')
  const blobs = join(gateway.dir.path, '.cardea/blobs')
  for (const name of await readdir(blobs)) await truncate(join(blobs, name), 3)
  const disabled = await cardea(gateway, t, 'plugin', 'disable', 'guard')
  assert.equal(disabled.code, 0, disabled.stdout + disabled.stderr)
  assert.equal(await met(gateway), 'nothing')
  assert.match(gateway.stderr, /What generation \d+ is made of was stored anew, from memory: Cannot load/)
  await cardea(gateway, t, 'plugin', 'enable', 'guard')
  await gateway.stop()
  const next = await again(t, gateway)
  assert.doesNotMatch(next.stderr, /Cannot bring back/)
  assert.equal(await met(next), 'guard')
})

test('a gateway whose whole store is gone begins anew', async (t) => {
  const first = await served(t, 2)
  await rm(join(first.dir.path, '.cardea'), { recursive: true })
  await rm(join(first.dir.path, 'plugins/guard'), { recursive: true })
  assert.equal(await met(await again(t, first)), 'nothing')
})
