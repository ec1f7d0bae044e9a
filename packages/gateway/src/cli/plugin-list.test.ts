import assert from 'node:assert/strict'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { pluginList } from './plugin-list.ts'

async function list(t: TestContext, files: Readonly<Record<string, unknown>>) {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'cardea-test-')))
  t.after(() => rm(directory, { recursive: true, force: true }))
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), typeof content === 'string' ? content : JSON.stringify(content))
  }
  const printed = { out: '', err: '' }
  const io = {
    out(text: string) {
      printed.out += text
    },
    err(text: string) {
      printed.err += text
    },
  }
  const code = await pluginList({
    config: join(directory, 'cardea.yaml'),
    io,
    builtInDirectory: join(directory, 'built-in'),
  })
  return { code, ...printed }
}

const PLUGIN = `export const PluginMain = () => ({ name: 'x', handle: () => true })`
const manifest = (name: string, more: object = {}) => ({ name, version: '1.0.0', ...more })

test('pluginList() shows the problems of the config and fails', async (t) => {
  const { code, out, err } = await list(t, { 'cardea.yaml': 'rotues: []' })
  assert.deepEqual([code, out], [1, ''])
  assert.match(err, /\/cardea\.yaml:1:1 CONFIG_INVALID "rotues" is not a known key/)
})

test('pluginList() shows what does not compile with its line and fails', async (t) => {
  const { code, out, err } = await list(t, {
    'cardea.yaml': '',
    'plugins/a/plugin.json': manifest('a'),
    'plugins/a/plugin.ts': `\nexport const PluginMain = ( => 1`,
  })
  assert.deepEqual([code, out], [1, ''])
  assert.match(
    err,
    /plugins\/a\/plugin\.ts:2:29 PLUGIN_BUILD_FAILED Cannot build plugin "a": Unexpected "=>"\n/,
  )
  assert.match(err, /2 \| export const PluginMain = \( => 1\n/)
})

test('pluginList() says that there are no routes', async (t) => {
  const { code, out } = await list(t, { 'cardea.yaml': '' })
  assert.deepEqual([code, out], [0, 'The config has no routes, so no plugin runs.\n'])
})

test('pluginList() shows each route with its chain in order, what is off, and what runs nowhere', async (t) => {
  const { code, out, err } = await list(t, {
    'cardea.yaml': `
upstreams: { api: { targets: [http://127.0.0.1:3000] } }
plugins: { login-limit: { plugin: limit, priority: 7 } }
routes:
  - { name: api, path: /api/*, upstream: api }
  - { name: open, path: /open, upstream: api, plugins: { auth: false, login-limit: false, gone: false } }
`,
    'plugins/auth/plugin.json': manifest('auth', { category: 'security' }),
    'plugins/auth/plugin.ts': PLUGIN,
    'built-in/limit/plugin.json': manifest('limit', {
      version: '2.10.0',
      scope: 'route',
      category: 'traffic',
    }),
    'built-in/limit/plugin.ts': PLUGIN,
    'plugins/off/plugin.json': manifest('off', { enabled: false }),
    'plugins/off/plugin.ts': PLUGIN,
    'plugins/spare/plugin.json': manifest('spare', { scope: 'route' }),
    'plugins/spare/plugin.ts': PLUGIN,
  })
  assert.deepEqual([code, err], [0, ''])
  assert.equal(
    out,
    `Route api
     name                 version  category  priority  from
  1  auth                 1.0.0    security  100       plugins/auth
  2  login-limit (limit)  2.10.0   traffic   7         built-in

Route open
  no plugins
  off: auth
  off: login-limit
  off: gone (there is no such plugin)

On no route
  name   version  from           because
  off    1.0.0    plugins/off    disabled in plugin.json
  spare  1.0.0    plugins/spare  named by no route
`,
  )
})
