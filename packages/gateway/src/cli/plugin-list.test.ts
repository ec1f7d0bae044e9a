import assert from 'node:assert/strict'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { testControl } from '../../../../tests/support/control-server.ts'
import { GatewayError } from '../base/errors.ts'
import type { GatewayStatus } from '../protocol/control.ts'
import { pluginList } from './plugin-list.ts'
import { instance, status, testOutput } from './test-answers.ts'

async function list(t: TestContext, files: Readonly<Record<string, unknown>>) {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'cardea-test-')))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return listIn(directory, files)
}

async function listIn(directory: string, files: Readonly<Record<string, unknown>>) {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), typeof content === 'string' ? content : JSON.stringify(content))
  }
  const { io, printed } = testOutput()
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
  assert.equal(code, 1)
  assert.equal(
    out,
    `Plugins
  name  version  from       state
  a     1.0.0    plugins/a  failed at build: Cannot build plugin "a": Unexpected "=>"
`,
  )
  assert.match(
    err,
    /plugins\/a\/plugin\.ts:2:29 PLUGIN_BUILD_FAILED Cannot build plugin "a": Unexpected "=>"\n/,
  )
  assert.match(err, /2 \| export const PluginMain = \( => 1\n/)
})

test('pluginList() shows how far each plugin comes when others fail', async (t) => {
  const { code, out, err } = await list(t, {
    'cardea.yaml': '',
    'plugins/no-manifest/plugin.ts': PLUGIN,
    'plugins/no-entry/plugin.json': manifest('entryless'),
    'plugins/wrong/plugin.json': { nmae: 'wrong' },
    'plugins/good/plugin.json': manifest('good'),
    'plugins/good/plugin.ts': PLUGIN,
    'plugins/off/plugin.json': manifest('off', { enabled: false }),
    'plugins/off/plugin.ts': 'not looked at: (',
    'built-in/spare/plugin.json': manifest('spare', { scope: 'route' }),
    'built-in/spare/plugin.ts': PLUGIN,
  })
  assert.equal(code, 1)
  const rows = out.split('\n').map((line) => line.trim().split(/ {2,}/))
  assert.deepEqual(
    rows.map(([name, ...cells]) => [name, cells.at(-1)?.replace(/:.*?(?=$| \(and)/, '')]),
    [
      ['Plugins', undefined],
      ['name', 'state'],
      ['spare', 'verified'],
      ['good', 'built'],
      ['no-entry', 'failed at verify'],
      ['off', 'disabled in plugin.json'],
      ['wrong', 'failed at verify (and 2 more problems)'],
      ['no-manifest', 'failed at discover'],
      ['', undefined],
    ],
  )
  assert.equal(err.match(/^\S+:\d+:\d+ PLUGIN_/gm)?.length, 5)
})

test('pluginList() shows whose config does not hold', async (t) => {
  const schema = { type: 'object', properties: { size: { type: 'integer' } } }
  const { code, out, err } = await list(t, {
    'cardea.yaml': `
routes:
  - { name: all, path: /*, respond: { status: 200 }, plugins: { limit: { config: { size: x } } } }
`,
    'plugins/limit/plugin.json': manifest('limit', { config_schema: schema }),
    'plugins/limit/plugin.ts': PLUGIN,
    'plugins/other/plugin.json': manifest('other'),
    'plugins/other/plugin.ts': PLUGIN,
  })
  assert.equal(code, 1)
  assert.match(out, /^ {2}limit .* failed at validate: .*size/m)
  assert.match(out, /^ {2}other .* validated$/m)
  assert.match(err, /cardea\.yaml:3:\d+ PLUGIN_CONFIG_INVALID /)
})

test('pluginList() keeps control characters of folder names from the terminal', async (t) => {
  const { out } = await list(t, { 'cardea.yaml': '', 'plugins/\u001b[31m/plugin.ts': PLUGIN })
  assert.match(out, /failed at discover/)
  assert.ok(!out.includes('\u001b'))
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

Plugins
  name   version  from           state
  limit  2.10.0   built-in       validated
  auth   1.0.0    plugins/auth   validated
  off    1.0.0    plugins/off    disabled in plugin.json
  spare  1.0.0    plugins/spare  built, on no route
`,
  )
})

const TWO_PLUGINS = {
  'cardea.yaml': 'routes: [{ name: all, path: /*, respond: { status: 200 } }]',
  'plugins/auth/plugin.json': manifest('auth'),
  'plugins/auth/plugin.ts': PLUGIN,
  'plugins/log/plugin.json': manifest('log'),
  'plugins/log/plugin.ts': PLUGIN,
}

/** The list in a folder in which a gateway runs that says this, and the files. */
async function listBeside(
  t: TestContext,
  parts: Partial<GatewayStatus> | GatewayError,
  files: Readonly<Record<string, unknown>> = TWO_PLUGINS,
) {
  const { directory } = await testControl(t, {
    handle: async () => {
      if (parts instanceof GatewayError) throw parts
      return status({ config: join(directory, 'cardea.yaml'), plugins: [], instances: [], ...parts })
    },
  })
  return listIn(directory, files)
}

const QUARANTINED = { name: 'login', plugin: 'auth', state: 'quarantined' } as const
const stateIn = (out: string, name: string) =>
  new RegExp(`^ {2}${name} +\\S+ +plugins/${name} +(.*)$`, 'm').exec(out)?.[1]

test('pluginList() shows what the gateway has quarantined that runs on the files, and why where it says so', async (t) => {
  const { code, out, err } = await listBeside(t, {
    plugins: [
      {
        folder: '/x',
        name: 'auth',
        version: '1.0.0',
        state: { kind: 'quarantined', generation: 2, instances: [{ name: 'login', harm: 'stall' }] },
      },
    ],
    instances: [instance(QUARANTINED), instance({ name: 'log', plugin: 'log' })],
  })
  assert.deepEqual([code, err], [0, ''])
  assert.equal(
    stateIn(out, 'auth'),
    'quarantined: "login" blocked the event loop; mend and save it, or "cardea plugin reload auth"',
  )
  assert.equal(stateIn(out, 'log'), 'validated')
  // A change that fails hides the state that the plugin has in what serves.
  const pending = await listBeside(t, { instances: [instance(QUARANTINED)] })
  assert.match(stateIn(pending.out, 'auth') ?? '', /^quarantined: "login" harmed a worker; /)
})

test('pluginList() shows what a command has switched off, and the chains without it', async (t) => {
  const { out } = await listBeside(t, {
    plugins: [
      { folder: '/x', name: 'log', version: '1.0.0', state: { kind: 'disabled', by: 'command' } },
      { folder: '/y', name: 'auth', version: '1.0.0', state: { kind: 'disabled', by: 'config' } },
    ],
  })
  assert.equal(stateIn(out, 'log'), 'disabled by "cardea plugin disable"')
  assert.equal(stateIn(out, 'auth'), 'validated')
  assert.match(out, /^Route all\n.*\n {2}1 {2}auth .*\n\n/)
})

test('pluginList() shows what is wrong with the files rather than what runs in their place', async (t) => {
  const broken = { ...TWO_PLUGINS, 'plugins/auth/plugin.ts': '(' }
  const { code, out } = await listBeside(t, { instances: [instance(QUARANTINED)] }, broken)
  assert.equal(code, 1)
  assert.match(stateIn(out, 'auth') ?? '', /^failed at build: /)
})

test('pluginList() goes by the files alone where the gateway runs on others or says nothing, and says the latter', async (t) => {
  const other = await listBeside(t, { config: '/srv/other.yaml', instances: [instance(QUARANTINED)] })
  assert.deepEqual([stateIn(other.out, 'auth'), other.err], ['validated', ''])
  const silent = await listBeside(t, new GatewayError('CONTROL_REFUSED', 'not you'))
  assert.deepEqual(
    [silent.code, stateIn(silent.out, 'auth'), silent.err],
    [0, 'validated', 'What is shown is by the files alone: CONTROL_REFUSED: not you\n'],
  )
})
