import assert from 'node:assert/strict'
import { appendFile, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { runCommand } from './support/cardea-command.ts'
import { startGatewayIn, type TestGateway } from './support/gateway.ts'
import { logged } from './support/log-lines.ts'
import { killProcesses, signalProcesses } from './support/processes.ts'
import { withTempDir } from './support/temp-dir.ts'
import { waitFor } from './support/wait-for.ts'

/** How files are noticed that are saved: those that the config includes, those behind links, those that are written slowly. */

const CONFIG = {
  workers: 1,
  listen: [{ host: '127.0.0.1', port: 0 }],
  plugins: { keys: { config: { text: '${file:keys/public.txt}' } } },
  routes: [{ name: 'all', path: '/*', respond: { status: 404 } }],
}

const SUPERVISOR = 'cardea: supervisor'

const PLUGIN = `export const PluginMain = (config) => ({
  name: 'keys',
  handle: (ctx) => ctx.response.send(config.text),
})`

async function ask(gateway: TestGateway): Promise<string> {
  const response = await fetch(gateway.url, { headers: { connection: 'close' } })
  return response.text()
}

async function withKeys(t: TestContext) {
  const dir = await withTempDir()
  const gateway = await startGatewayIn(t, dir, {}, () =>
    dir.write({
      'cardea.yaml': CONFIG,
      'keys/public.txt': 'one\n',
      'plugins/keys/plugin.json': { name: 'keys', version: '1.0.0' },
      'plugins/keys/plugin.ts': PLUGIN,
    }),
  )
  return { dir, gateway }
}

test('what an included file says is live when it is saved', async (t) => {
  const { dir, gateway } = await withKeys(t)
  assert.equal(await ask(gateway), 'one')
  for (const text of ['two', 'three']) {
    await dir.write({ 'keys/public.txt': `${text}\n` })
    await waitFor(async () => (await ask(gateway)) === text, 'the text that was saved')
  }
})

test('what an included file says that was saved while the supervisor was being replaced is live', async (t) => {
  const { dir, gateway } = await withKeys(t)
  // Stopped first: what is saved is seen by nobody, and stands there before there is a successor.
  const missed = async (text: string, answer: string): Promise<void> => {
    const supervisors = gateway.pids(SUPERVISOR)
    signalProcesses(supervisors, 'SIGSTOP')
    await dir.write({ 'keys/public.txt': `${text}\n` })
    await killProcesses(supervisors)
    await waitFor(async () => (await ask(gateway)) === answer, 'what the text stands for')
  }
  await missed('true', 'true')
  // It can decide whether a plugin runs at all, too.
  const keys = { config: { text: 'switched on' }, enabled: '${file:keys/public.txt}' }
  await dir.write({ 'cardea.yaml': { ...CONFIG, plugins: { keys } } })
  await waitFor(async () => (await ask(gateway)) === 'switched on', 'the config that was saved')
  await missed('false', '')
})

test('a file that the config includes before it is there heals the change when it comes', async (t) => {
  const { dir, gateway } = await withKeys(t)
  await dir.write({
    'cardea.yaml': { ...CONFIG, plugins: { keys: { config: { text: '${file:keys/later.txt}' } } } },
  })
  await logged(gateway, /^The change failed/)
  await dir.write({ 'keys/later.txt': 'two\n' })
  await waitFor(async () => (await ask(gateway)) === 'two', 'the text that was saved')
})

test('a plugin that keeps another plugins folder from serving heals the change when it is mended', async (t) => {
  const dir = await withTempDir()
  const keysIn = (folder: string, source: string) => ({
    [`${folder}/keys/plugin.json`]: { name: 'keys', version: '1.0.0' },
    [`${folder}/keys/plugin.ts`]: source,
  })
  const gateway = await startGatewayIn(t, dir, {}, () =>
    dir.write({ 'cardea.yaml': CONFIG, 'keys/public.txt': 'one\n', ...keysIn('plugins', PLUGIN) }),
  )
  await dir.write(keysIn('elsewhere', 'export const PluginMain = ('))
  await dir.write({ 'cardea.yaml': { ...CONFIG, plugins_dir: 'elsewhere' } })
  await logged(gateway, /^The change failed/)
  await dir.write(keysIn('elsewhere', PLUGIN.replace('config.text', "'elsewhere'")))
  await waitFor(async () => (await ask(gateway)) === 'elsewhere', 'what was mended')
})

test('a plugin behind two links is live as soon as the second one leads to another release', async (t) => {
  const release = (number: number, text: string) => ({
    [`rel/${number}/plugin.json`]: { name: 'keys', version: `${number}.0.0` },
    [`rel/${number}/plugin.ts`]: PLUGIN.replace('config.text', `'${text}'`),
  })
  const dir = await withTempDir()
  const gateway = await startGatewayIn(t, dir, {}, async () => {
    await dir.write({
      'cardea.yaml': CONFIG,
      'keys/public.txt': 'one\n',
      'plugins/README': '',
      ...release(1, 'first'),
      ...release(2, 'second'),
    })
    await symlink('1', join(dir.path, 'rel/cur'))
    await symlink('../rel/cur', join(dir.path, 'plugins/keys'))
  })
  assert.equal(await ask(gateway), 'first')
  await symlink('2', join(dir.path, 'rel/next'))
  await rename(join(dir.path, 'rel/next'), join(dir.path, 'rel/cur'))
  await waitFor(async () => (await ask(gateway)) === 'second', 'the other release')
  await dir.write(release(2, 'saved'))
  await waitFor(async () => (await ask(gateway)) === 'saved', 'what is saved in it')
})

test('a config that is written with a pause drops none of its routes', async (t) => {
  const head = 'workers: 1\nlisten: [{ host: 127.0.0.1, port: 0 }]\nroutes:\n'
  const route = (name: string) => `  - name: ${name}\n    path: /${name}/*\n    respond: { status: 204 }\n`
  const dir = await withTempDir()
  const gateway = await startGatewayIn(t, dir, {}, () =>
    dir.write({ 'cardea.yaml': head + route('open') + route('public') }),
  )
  const file = join(dir.path, 'cardea.yaml')
  await writeFile(file, head + route('open'))
  // The writer's. A burst is over after 20 ms.
  await pause(300)
  await appendFile(file, route('public') + route('late'))
  const line = await logged(gateway, /^Generation \d+ is live: route late/)
  assert.equal(line.message, 'Generation 2 is live: route late added')
  assert.doesNotMatch(gateway.stderr, /removed/)
})

test('a saved path that no request can have is told with its file and line, as config check tells it', async (t) => {
  const { dir, gateway } = await withKeys(t)
  const routes = '\n  - { name: all, path: /x%252Fy, respond: { status: 404 } }\n'
  await dir.write({ 'cardea.yaml': `listen: [{ host: 127.0.0.1, port: 0 }]\nroutes:${routes}` })
  const line = await logged(gateway, /^The change failed at config, .* which no request can have/)
  assert.deepEqual(
    [line.code, line.file, line.line, line.column],
    ['CONFIG_INVALID', join(dir.path, 'cardea.yaml'), 3, 5],
  )
  assert.match(String(line.frame), /^3 \| {3}- \{ name: all, path: \/x%252Fy/)
  const { code, stdout, stderr } = await runCommand(t, ['config', 'check'], { cwd: dir.path })
  assert.equal(code, 1)
  assert.match(stdout + stderr, /^cardea\.yaml:3:5 CONFIG_INVALID .* which no request can have/m)
})
