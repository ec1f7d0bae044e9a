import assert from 'node:assert/strict'
import { open } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { runCommand, startCommand } from './support/cardea-command.ts'
import { logLines } from './support/log-lines.ts'
import { type TempDir, withTempDir } from './support/temp-dir.ts'
import { waitFor } from './support/wait-for.ts'

/** What a gateway and its commands write to may be full, or gone. */

const configOf = (body: string) => ({
  listen: [{ host: '127.0.0.1', port: 0 }],
  workers: 1,
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body } }],
})

async function folder(t: TestContext): Promise<TempDir> {
  const dir = await withTempDir()
  t.after(() => dir[Symbol.asyncDispose]())
  await dir.write({ 'cardea.json': configOf('one') })
  return dir
}

/** Whatever is written there fails with ENOSPC. */
async function fullDisk(t: TestContext): Promise<number> {
  const file = await open('/dev/full', 'w')
  t.after(() => file.close())
  return file.fd
}

async function answers(port: number, body: string): Promise<void> {
  const said = async () => (await fetch(`http://127.0.0.1:${port}/`)).text()
  await waitFor(async () => (await said()) === body, `the answer ${body}`)
}

test('a gateway whose log is on a full disk starts, makes changes and ends as ever', async (t) => {
  const dir = await folder(t)
  const gateway = startCommand(t, ['serve'], { cwd: dir.path, stderr: await fullDisk(t) })
  const port = await gateway.readyPort()
  await dir.write({ 'cardea.json': configOf('two') })
  await answers(port, 'two')
  await dir.write({ 'cardea.json': '{' })
  const status = async () => (await runCommand(t, ['status'], { cwd: dir.path })).stdout
  await waitFor(async () => (await status()).includes('CONFIG_SYNTAX'), 'the change that failed')
  gateway.signal('SIGTERM')
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
})

test('a gateway whose first plugin does not start, and whose log is on a full disk, serves once it is mended', async (t) => {
  const dir = await folder(t)
  await dir.write({
    'plugins/late/plugin.json': { name: 'late', version: '1.0.0' },
    'plugins/late/plugin.ts': `export const PluginMain = () => { throw new Error('not yet') }`,
  })
  const gateway = startCommand(t, ['serve'], { cwd: dir.path, stderr: await fullDisk(t) })
  const port = await gateway.readyPort()
  await dir.write({
    'plugins/late/plugin.ts': `export const PluginMain = () => ({ name: 'late', handle: () => true })`,
  })
  await answers(port, 'one')
  gateway.signal('SIGTERM')
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
})

test('a gateway whose output nobody reads any more serves on', async (t) => {
  const dir = await folder(t)
  const full = await fullDisk(t)
  const gateway = startCommand(t, ['serve'], { cwd: dir.path, stdout: full })
  await waitFor(() => gateway.stderr.includes('"message":"Ready"'), 'the gateway to be ready')
  const { stdout, code } = await runCommand(t, ['status'], { cwd: dir.path })
  assert.match(stdout, /generation 1 serves/)
  assert.equal(code, 0)
  gateway.signal('SIGTERM')
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
})

test('what Node warns of in any process is a line of the log', async (t) => {
  const dir = await folder(t)
  await dir.write({
    'plugins/warner/plugin.json': { name: 'warner', version: '1.0.0' },
    'plugins/warner/plugin.ts': `export const PluginMain = () => {
      process.emitWarning('mind the gap', 'GapWarning')
      return { name: 'warner', handle: () => true }
    }`,
  })
  const gateway = startCommand(t, ['serve'], { cwd: dir.path })
  await gateway.readyPort()
  for (const role of ['trial', 'worker']) {
    const line = await waitFor(
      () =>
        logLines(gateway.stderr).find((found) => found.process === role && found.warning === 'GapWarning'),
      `the warning of the ${role}`,
    )
    assert.equal(line.message, 'Node warns: mind the gap')
  }
})

test('a command that cannot write its result says so and fails', async (t) => {
  const dir = await folder(t)
  const { code, stderr } = await runCommand(t, ['config', 'check'], {
    cwd: dir.path,
    stdout: await fullDisk(t),
  })
  assert.equal(code, 1)
  assert.match(stderr, /^Cannot write the result: ENOSPC/)
})
