import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Stage } from './recovery/stage.ts'
import { SteppedPlugin } from './recovery/stepped-plugin.ts'
import { runCommand, startCommand } from './support/cardea-command.ts'
import { freePort } from './support/free-port.ts'
import { startGateway, startGatewayIn, type TestGateway } from './support/gateway.ts'
import { sayings } from './support/log-lines.ts'
import { withTempDir } from './support/temp-dir.ts'
import { waitFor } from './support/wait-for.ts'

/** A start with files that take long, or for ever, although there is something that served last. */

const timeout = 200_000

const CONFIG = {
  listen: [{ host: '127.0.0.1', port: 0 }],
  workers: 1,
  debug: true,
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
}
const PLUGIN = 'plugins/mark/plugin.ts'
const markOf = (mark: string) => `export const PluginMain = () => ({
  name: 'mark',
  handle(ctx) {
    ctx.response.headers.set('x-mark', '${mark}')
    return true
  },
})
`
const HANGING = 'export const PluginMain = () => new Promise(() => {})\n'

/** A gateway that has served, and whose plugin hangs at the next start. */
async function hanging(t: TestContext): Promise<TestGateway> {
  const mark = { 'plugin.json': { name: 'mark', version: '1.0.0' }, 'plugin.ts': markOf('one') }
  const gateway = await startGateway(t, { config: CONFIG, plugins: { mark } })
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  await gateway.dir.write({ [PLUGIN]: HANGING })
  return gateway
}

async function markAt(url: string): Promise<string | null> {
  const response = await fetch(url, { headers: { connection: 'close' } })
  await response.text()
  return response.headers.get('x-mark')
}

test('a plugin that is slow at the start is live when it is ready, and until then what served last', {
  timeout,
}, async (t) => {
  const first = await Stage.start(t)
  const ended = await first.killMaster()
  await ended()
  await first.save('start', ['trial'])
  const stage = await Stage.restart(t, first)
  assert.match(
    stage.gateway.stderr,
    /^THE FILES ARE NOT SERVED YET: plugin "stepped" has not ended PluginMain .* generation 1, which served last,/m,
  )
  await stage.agrees(1)
  const said = stage.listen()
  await stage.release('start')
  await said(/Generation 2 is live/)
  await stage.agrees()
  assert.doesNotMatch(stage.gateway.stderr, /The change failed/)
  assert.deepEqual(stage.faults, [])
})

test('a plugin that hangs at the start keeps nobody waiting until it has failed, which is told then', {
  timeout,
}, async (t) => {
  const { dir } = await hanging(t)
  const gateway = await startGatewayIn(t, dir)
  assert.equal(await markAt(gateway.url), 'one')
  assert.match(gateway.stderr, /^THE FILES ARE NOT SERVED YET: .*generation 1, which served last,/m)
  assert.doesNotMatch(gateway.stderr, /The change failed/)
  const events = await runCommand(t, ['status'], { cwd: dir.path })
  assert.match(events.stdout, / mark: has not ended PluginMain .*: generation 1, which served last, serves/)
  await sayings(gateway)(/^THE FILES ARE NOT SERVED: generation 1, which served last, is served instead/m)
  assert.match(gateway.stderr, /The change failed at trial, generation 1 serves on: .*did not settle/)
  await dir.write({ [PLUGIN]: markOf('two') })
  await waitFor(async () => (await markAt(gateway.url)) === 'two', 'the mended plugin')
})

test('a strict start whose plugin hangs serves nothing and ends with 1', { timeout }, async (t) => {
  const { dir } = await hanging(t)
  const { code, stdout, stderr } = await runCommand(t, ['serve', '--strict'], { cwd: dir.path })
  assert.deepEqual([code, stdout], [1, ''], stderr)
  assert.match(stderr, /^plugins\/mark\/plugin\.ts:\d+:\d+ PLUGIN_START_FAILED .*did not settle/m)
  assert.doesNotMatch(stderr, /NOT SERVED/)
})

test('no request passes by a slow security plugin that came while the gateway was down', {
  timeout,
}, async (t) => {
  const { dir, stop } = await startGateway(t, { config: CONFIG })
  await stop()
  const steps = await withTempDir()
  t.after(() => steps[Symbol.asyncDispose]())
  const plugin = new SteppedPlugin(steps.path)
  const files = await plugin.files(1, 'start', ['trial'])
  await dir.write({
    'plugins/stepped/plugin.json': files['plugin.json'],
    'plugins/stepped/plugin.ts': files['plugin.ts'],
  })
  const gateway = startCommand(t, ['serve'], { cwd: dir.path })
  await waitFor(
    () => /Nothing is served yet: .*would pass by security plugin \\"stepped\\"/.test(gateway.stderr),
    'the warning',
  )
  assert.equal(gateway.stdout, '')
  await plugin.release(1, 'start')
  const response = await fetch(`http://127.0.0.1:${await gateway.readyPort()}/`)
  assert.equal(await response.text(), 'here')
  assert.equal(response.headers.get('x-version'), '1')
  assert.doesNotMatch(gateway.stderr, /NOT SERVED/)
})

test('once files are mended that failed at the start, the gateway listens where they say', {
  timeout,
}, async (t) => {
  const [before, after] = [await freePort(), await freePort()]
  const configAt = (port: number) => ({ ...CONFIG, listen: [{ host: '127.0.0.1', port }] })
  const mark = { 'plugin.json': { name: 'mark', version: '1.0.0' }, 'plugin.ts': markOf('one') }
  const first = await startGateway(t, { config: configAt(before), plugins: { mark } })
  assert.deepEqual(await first.stop(), { code: 0, signal: null })
  await first.dir.write({ [PLUGIN]: 'export const PluginMain = (', 'cardea.yaml': configAt(after) })
  const gateway = await startGatewayIn(t, first.dir)
  assert.equal(await markAt(`http://127.0.0.1:${before}/`), 'one')
  await gateway.dir.write({ [PLUGIN]: markOf('two') })
  const markAfter = () => markAt(`http://127.0.0.1:${after}/`).catch(() => null)
  await waitFor(async () => (await markAfter()) === 'two', 'an answer at the listener of the files', 30_000)
})
