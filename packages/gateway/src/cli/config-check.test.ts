import assert from 'node:assert/strict'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { configCheck } from './config-check.ts'

async function run(text: string | null, env: Readonly<Record<string, string>> = {}, isTTY = false) {
  const printed = { out: '', err: '' }
  const io = {
    stdout: { write: (more: string) => (printed.out += more) },
    stderr: { isTTY, write: (more: string) => (printed.err += more) },
    env,
  }
  const readFile = async (path: string) => {
    if (path === '/run/key') return 'hunter2\n'
    if (text === null || path !== resolve('cardea.yaml')) throw Object.assign(new Error(), { code: 'ENOENT' })
    return text
  }
  const code = await configCheck('cardea.yaml', io, { readFile })
  return { ...printed, code }
}

test('configCheck() says of a missing file that it is missing, and exits 1', async () => {
  const { code, out, err } = await run(null)
  assert.deepEqual([code, out], [1, ''])
  assert.match(err, /^cardea\.yaml:1:1 CONFIG_NOT_FOUND .*ENOENT/)
})

test('configCheck() prints every problem with file, line, column, key, value, expectation and near key', async () => {
  const { code, out, err } = await run('listen: [{ prt: 80 }]\nworkers: none\n')
  assert.deepEqual([code, out], [1, ''])
  for (const part of [
    'cardea.yaml:1:12 CONFIG_INVALID',
    '  1 | listen: [{ prt: 80 }]\n    |            ^\n',
    'key:      listen[0].prt\n',
    'given:    80\n',
    'expected: one of host, port\n',
    'nearest:  port\n',
    'cardea.yaml:2:10 CONFIG_INVALID',
    '\n2 problems in cardea.yaml.\n',
  ]) {
    assert.ok(err.includes(part), `${part} is not in ${err}`)
  }
})

test('configCheck() prints no secret', async () => {
  const { code, err } = await run('workers: "${file:/run/key}"\nvia: "a ${KEY}"\n', { KEY: 'hunter2' })
  assert.equal(code, 1)
  assert.ok(!err.includes('hunter2'), err)
})

test('configCheck() prints colours on a terminal only, and never against NO_COLOR', async () => {
  assert.ok((await run('workers: 0', {}, true)).err.includes('\u001b['))
  assert.ok(!(await run('workers: 0', { NO_COLOR: '1' }, true)).err.includes('\u001b['))
  assert.ok(!(await run('workers: 0')).err.includes('\u001b['))
})

test('configCheck() names what plugins lack and what the config sets wrong for them, with its line', async (t) => {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'cardea-test-')))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const folder = join(directory, 'greeter')
  await mkdir(folder)
  const schema = { type: 'object', properties: { words: { type: 'string' } } }
  const manifest = { name: 'greeter', version: '1.0.0', config_schema: schema }
  await writeFile(join(folder, 'plugin.json'), JSON.stringify(manifest))
  const config = `plugins_dir: ${directory}\nplugins:\n  greter: {}\n  greeter: { config: { words: 3 } }\n`

  const missing = await run(config)
  assert.deepEqual([missing.code, missing.out], [1, ''])
  assert.match(missing.err, /greeter:1:1 PLUGIN_ENTRY_MISSING .*plugin\.ts/)

  await writeFile(join(folder, 'plugin.ts'), `export const PluginMain = () => ({ name: 'greeter' })`)
  const { code, out, err } = await run(config)
  assert.deepEqual([code, out], [1, ''])
  assert.match(err, /^cardea\.yaml:3:3 PLUGIN_NOT_FOUND .*"greter".*"greeter"/m)
  assert.match(err, /^cardea\.yaml:4:31 PLUGIN_CONFIG_INVALID .*words" is 3, expected a string/m)
  assert.ok(err.endsWith('\n2 problems in cardea.yaml and its plugins.\n'), err)
})

test('configCheck() points at the name of a plugin that is not there, and never tells what a variable holds', async () => {
  const { code, err } = await run('plugins: { x: { plugin: rate-limt }, y: { plugin: "${NAME}" } }\n', {
    NAME: 'hunter2',
  })
  assert.equal(code, 1)
  assert.match(err, /^cardea\.yaml:1:25 PLUGIN_NOT_FOUND .*"rate-limt"\. Did you mean "rate-limit"\?$/m)
  assert.match(
    err,
    /key: +plugins\.x\.plugin\n +given: +"rate-limt"\n +expected: one of .*\n +nearest: +rate-limit\n/,
  )
  assert.match(err, /^cardea\.yaml:1:51 PLUGIN_NOT_FOUND .*"\$\{NAME\}"\./m)
  assert.ok(!err.includes('hunter2'), err)
})

/** `line:column code key` of each problem that is printed. */
async function told(text: string, env: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const { code, err } = await run(text, env)
  assert.equal(code, 1)
  const places = [...err.matchAll(/^cardea\.yaml:(\d+:\d+) ([A-Z_]+) (?:.*\n(?! *key:))*.*\n *key: +(.*)$/gm)]
  assert.match(err, new RegExp(`\\n${places.length} problems? in cardea\\.yaml( and its plugins)?\\.\\n$`))
  return places.map(([, place, of, key]) => `${place} ${of} ${key}`)
}

const UPSTREAMS = 'upstreams: { u: { targets: ["http://127.0.0.1:1"] } }'

test('configCheck() names mistakes in all parts of a file together, in the order of the file', async () => {
  const text = `${UPSTREAMS}
routes:
  - { name: a, path: /*, upstream: u, plugins: { rate-limt: { config: {} }, cors: { config: { origns: [] } } } }
  - { name: b, path: "/*", upstream: ux }
limits: { hed_bytes: 1KiB }
plugins: { x: { plugin: nope }, jwt: { config: { foo: 1 } } }
`
  const ofOthers = [
    '3:50 PLUGIN_NOT_FOUND routes[0].plugins.rate-limt',
    '3:95 PLUGIN_CONFIG_INVALID routes[0].plugins.cors.config.origns',
    '6:25 PLUGIN_NOT_FOUND plugins.x.plugin',
    '6:48 PLUGIN_CONFIG_INVALID plugins.jwt.config.algorithms',
    '6:50 PLUGIN_CONFIG_INVALID plugins.jwt.config.foo',
  ]
  const all = await told(text)
  assert.deepEqual(all, [
    ...ofOthers.slice(0, 2),
    '4:5 CONFIG_INVALID routes[1]',
    '4:38 CONFIG_INVALID routes[1].upstream',
    '5:11 CONFIG_INVALID limits.hed_bytes',
    ...ofOthers.slice(2),
  ])
  const valid = text
    .replace('/*, upstream: u,', '/a, upstream: u,')
    .replace('ux', 'u')
    .replace('hed_', 'head_')
  assert.deepEqual(await told(valid), ofOthers)
})

test('configCheck() names routes that only the router refuses together with all else', async () => {
  const text = `${UPSTREAMS}
routes:
  - { name: a, path: /x, methods: [GET, PUT], upstream: u, plugins: { corss: {} } }
  - { name: b, path: /x, methods: [GET, HEAD], upstream: v }
  - { name: c, pth: /x, methods: [GET], upstream: u }
`
  const ofRoutes = ['3:71 PLUGIN_NOT_FOUND routes[0].plugins.corss', '4:5 CONFIG_INVALID routes[1]']
  assert.deepEqual(await told(text), [
    ...ofRoutes,
    '4:58 CONFIG_INVALID routes[1].upstream',
    '5:16 CONFIG_INVALID routes[2].pth',
  ])
  assert.deepEqual(await told(text.replace(' v }', ' u }').replace(/ +- \{ name: c.*\n/, '')), ofRoutes)
})

test('configCheck() names every conflict of a route, those that only the router sees and those of a route with another fault', async () => {
  const text = `${UPSTREAMS}
routes:
  - { name: a, path: /x, methods: [GET, PUT], upstream: u }
  - { name: b, paths: [/y, /z], upstream: u }
  - { name: c, paths: [/x, "/y"], methods: [GET], upstream: v }
  - { name: d, path: /x, methods: [PUT, HEAD], upstream: u }
  - { name: e, path: /z, upstream: u }
`
  const { err } = await run(text)
  const said = [...err.matchAll(/^cardea\.yaml:(\d+):5 CONFIG_INVALID Route "(.)" .* as route "(.)"/gm)]
  assert.deepEqual(
    said.map(([, line, one, other]) => `${line} ${one} ${other}`),
    ['5 c a', '6 d a', '7 e b'],
  )
  assert.ok(err.endsWith('\n4 problems in cardea.yaml.\n'), err)
})

for (const [what, plugins, problems] of [
  ['a misspelt "plugin"', 'plugins: { x: { plguin: cors } }', ['2:17 CONFIG_INVALID plugins.x.plguin']],
  [
    'a "plugin" that is no name',
    'plugins: { x: { plugin: [cors] } }',
    ['2:25 CONFIG_INVALID plugins.x.plugin'],
  ],
  [
    'a "plugin" without its variable',
    'plugins: { x: { plugin: "${NONE}" } }',
    ['2:25 CONFIG_VARIABLE_MISSING plugins.x.plugin'],
  ],
  ['an entry that is none', 'plugins: { x: 3 }', ['2:15 CONFIG_INVALID plugins.x']],
  ['a misspelt "plugins"', 'plugns: { x: { plugin: cors } }', ['2:1 CONFIG_INVALID plugns']],
  ['plugins that are a list', 'plugins: [x]', ['2:10 CONFIG_INVALID plugins']],
  ['a misspelt "plugins_dir"', 'plugin_dir: other', ['2:1 CONFIG_INVALID plugin_dir']],
  [
    'a "plugins_dir" without its variable',
    'plugins_dir: "${NONE}"',
    ['2:14 CONFIG_VARIABLE_MISSING plugins_dir'],
  ],
] as const) {
  test(`configCheck() says of ${what} that, and not that what routes name of it is not there`, async () => {
    const routes = 'routes:\n  - { name: a, respond: {}, plugins: { x: {} } }\n'
    assert.deepEqual(await told(`debug: true\n${plugins}\n${routes}`), problems)
  })
}

for (const [what, entry, problems] of [
  ['a misspelt "config"', '{ confg: { algorithms: [HS256] } }', ['1:19 CONFIG_INVALID plugins.jwt.confg']],
  ['a "config" that is none', '{ config: 3 }', ['1:27 CONFIG_INVALID plugins.jwt.config']],
  ['an "enabled" that is neither', '{ enabled: yess }', ['1:28 CONFIG_INVALID plugins.jwt.enabled']],
  [
    'a variable without a value',
    '{ config: { algorithms: ["${NONE}"], reaml: a } }',
    [
      '1:42 CONFIG_VARIABLE_MISSING plugins.jwt.config.algorithms[0]',
      '1:54 PLUGIN_CONFIG_INVALID plugins.jwt.config.reaml',
    ],
  ],
] as const) {
  test(`configCheck() says of ${what} that, and not what the plugin's config lacks by it`, async () => {
    assert.deepEqual(await told(`plugins: { jwt: ${entry} }\n`), problems)
  })
}

test('configCheck() checks what a route sets for a plugin beside an entry that cannot be read', async () => {
  const text = `plugins: { jwt: { confg: {} } }
routes: [{ name: a, respond: {}, plugins: { jwt: { config: { reaml: a } } } }]
`
  assert.deepEqual(await told(text), [
    '1:19 CONFIG_INVALID plugins.jwt.confg',
    '2:62 PLUGIN_CONFIG_INVALID routes[0].plugins.jwt.config.reaml',
  ])
})

test('configCheck() sums up a valid file in one line and exits 0', async () => {
  const { code, out, err } = await run(
    'upstreams: { a: { targets: ["http://a"] } }\nroutes: [{ name: a, upstream: a }]\n',
  )
  assert.deepEqual([code, err], [0, ''])
  assert.equal(out, 'cardea.yaml is valid: 1 listener, 1 route, 1 upstream.\n')
})

test('configCheck() says what only the code of a plugin refuses, with its line and as a change would', async (t) => {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'cardea-test-')))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const folder = join(directory, 'limiter')
  await mkdir(folder)
  await writeFile(
    join(folder, 'plugin.json'),
    JSON.stringify({ name: 'limiter', version: '1.0.0', config: {} }),
  )
  await writeFile(
    join(folder, 'plugin.ts'),
    [
      'export const PluginMain = () => ({',
      "  name: 'limiter',",
      '  handle: () => true,',
      '  validateConfig({ limit, window }) {',
      "    if (limit !== undefined && window === undefined) throw new Error('a limit needs a window')",
      '  },',
      '})',
    ].join('\n'),
  )
  const route = 'routes: [{ name: all, path: /*, respond: { status: 204 } }]'
  const configOf = (config: string) =>
    `plugins_dir: ${directory}\nplugins: { limiter: { config: ${config} } }\n${route}\n`
  const { code, out, err } = await run(configOf('{ limit: 5 }'))
  assert.deepEqual([code, out], [1, ''])
  assert.match(err, /plugin\.ts:5:\d+ PLUGIN_START_FAILED .*"limiter": a limit needs a window/)
  assert.ok(err.endsWith('\n1 problem in cardea.yaml and its plugins.\n'), err)
  const sound = await run(configOf('{ limit: 5, window: 60s }'))
  assert.deepEqual([sound.code, sound.err], [0, ''])
})
