import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { configForTarget, loadConfigFile, readManifest } from './load.ts'
import { checkPluginConfig } from './plugin-config.ts'
import { loadText, manifestOf, readerOf, readManifestText } from './test-support.ts'

test('loadConfigFile() reports a file that cannot be read', async () => {
  const result = await loadConfigFile('/etc/absent.yaml', { env: {}, readFile: readerOf({}) })
  assert.ok(!result.ok)
  assert.deepEqual(
    result.problems.map(({ code, file, message }) => [code, file, message.slice(0, 33)]),
    [['CONFIG_NOT_FOUND', '/etc/absent.yaml', 'Cannot read absent.yaml (ENOENT):']],
  )
})

test('loadConfigFile() reports every syntax error of a file', async () => {
  const files = { '/etc/cardea.yaml': 'a: 1\na: 2\nb: !x 1\n' }
  const result = await loadConfigFile('/etc/cardea.yaml', { env: {}, readFile: readerOf(files) })
  assert.ok(!result.ok)
  assert.deepEqual(
    result.problems.map(({ code, line }) => [code, line]),
    [
      ['CONFIG_SYNTAX', 2],
      ['CONFIG_SYNTAX', 3],
    ],
  )
})

test('loadConfigFile() takes an empty file for all defaults', async () => {
  const { value, pluginsDirectory } = await loadText('# nothing yet\n')
  assert.deepEqual(value.listen, [{ host: '0.0.0.0', port: 8080 }])
  assert.equal(value.limits.head_bytes, '32KiB')
  assert.equal(pluginsDirectory, '/etc/plugins')
})

test('loadConfigFile() reads JSON with comments, by the name of the file', async () => {
  const { value } = await loadText('{ // one worker\n  "workers": 1 }', { path: '/etc/cardea.json' })
  assert.equal(value.workers, 1)
})

test('loadConfigFile() reads past a byte order mark', async () => {
  assert.equal((await loadText('\uFEFFworkers: 1\n')).value.workers, 1)
})

test('loadConfigFile() reads a text once that nothing else has a say in', async () => {
  const first = await loadText('workers: 1\n')
  assert.equal(await loadText('workers: 1\n'), first)
  assert.equal((await loadText('workers: 2\n')).value.workers, 2)
  assert.equal(
    (await loadText('workers: 1\n', { path: '/srv/cardea.yaml' })).pluginsDirectory,
    '/srv/plugins',
  )
})

test('loadConfigFile() asks environment and files anew each time', async () => {
  // As YAML writes it, the second text has no dollar sign.
  for (const text of ['via: ${NAME}-${file:name.txt}\n', 'via: "\\x24{NAME}-\\x24{file:name.txt}"\n']) {
    for (const name of ['one', 'two']) {
      const { value } = await loadText(text, { env: { NAME: name }, files: { '/etc/name.txt': name } })
      assert.equal(value.via, `${name}-${name}`)
    }
  }
})

test('loadConfigFile() finds the plugins folder and secrets from the folder of the file', async () => {
  const { pluginsDirectory, value } = await loadText('plugins_dir: ../more\nvia: "${file:name.txt}"\n', {
    path: '/srv/gateway/cardea.yaml',
    files: { '/srv/gateway/name.txt': 'edge\n' },
  })
  assert.equal(pluginsDirectory, '/srv/more')
  assert.equal(value.via, 'edge')
})

test('loadConfigFile() keeps the text and the value before variables were replaced, for the history', async () => {
  const text = 'via: "${NAME}"\nplugins: { a: { config: { key: "${NAME}" } } }\n'
  const config = await loadText(text, { env: { NAME: 'secret' } })
  assert.equal(config.text, text)
  assert.ok(!JSON.stringify(config.unexpanded).includes('secret'))
  assert.ok(JSON.stringify(config.value).includes('secret'))
})

for (const [url, nearest] of [
  ['localhost:3000', 'http://localhost:3000'],
  ['http://a/b', 'http://a'],
  ['', null],
  ['tcp://a', null],
] as const) {
  test(`configForTarget() refuses ${JSON.stringify(url)}`, () => {
    const result = configForTarget(url)
    assert.ok(!result.ok)
    assert.deepEqual(
      result.problems.map(({ code, key, nearest }) => [code, key, nearest]),
      [['CONFIG_INVALID', '--to', nearest]],
    )
  })
}

test('configForTarget() refuses a port that is none', () => {
  const result = configForTarget('http://a', { port: 70_000 })
  assert.ok(!result.ok)
  assert.equal(result.problems[0]?.key, 'listen[0].port')
})

test('configForTarget() sends every request to the one target', () => {
  const result = configForTarget('http://127.0.0.1:3000', { port: null })
  assert.ok(result.ok)
  const { value, file, pluginsDirectory } = result.config
  assert.equal(file, null)
  assert.equal(pluginsDirectory, resolve('plugins'))
  assert.equal(value.listen[0]?.port, 8080)
  assert.deepEqual(value.upstreams.default?.targets, ['http://127.0.0.1:3000'])
  assert.deepEqual([value.routes[0]?.path, value.routes[0]?.upstream], ['/*', 'default'])
})

const manifest = (fields: object) => JSON.stringify({ name: 'a', version: '1.0.0', ...fields })

for (const [what, text, key] of [
  ['no JSON', 'name: a', ''],
  ['no object', '[]', ''],
  ['no name', '{ "version": "1.0.0" }', 'name'],
  ['no version', '{ "name": "a" }', 'version'],
  ['a version that is none', manifest({ version: '1.0' }), 'version'],
  ['a name with capitals', manifest({ name: 'RateLimit' }), 'name'],
  ['a name that is a path', manifest({ name: '../a' }), 'name'],
  ['an unknown key', manifest({ entrypoint: 'x' }), 'entrypoint'],
  ['an unknown category', manifest({ category: 'secruity' }), 'category'],
  ['a range that is none', manifest({ dependencies: { b: 'newest' } }), 'dependencies.b'],
  ['a permission that nothing asks for', manifest({ permissions: ['kvs'] }), 'permissions[0]'],
  ['a network permission without a port', manifest({ permissions: ['net:example.com'] }), 'permissions[0]'],
  ['a network permission of no key', manifest({ permissions: ['net:config/'] }), 'permissions[0]'],
  ['a network permission of a path', manifest({ permissions: ['net:a.example/x:80'] }), 'permissions[0]'],
  ['no time at all', manifest({ timeout_ms: 0 }), 'timeout_ms'],
  ['config that is no object', manifest({ config: [] }), 'config'],
  [
    'a fallback that frames its content',
    manifest({ on_failure: { fallback: { headers: { 'Transfer-Encoding': 'chunked' } } } }),
    'on_failure.fallback.headers.Transfer-Encoding',
  ],
  [
    'a fallback that asks for an upgrade without a 426',
    manifest({ on_failure: { fallback: { status: 400, headers: { upgrade: 'h2c' } } } }),
    'on_failure.fallback.headers.upgrade',
  ],
  ['an open security plugin', manifest({ category: 'security', on_failure: 'open' }), 'on_failure'],
] as const) {
  test(`readManifest() refuses ${what}`, async () => {
    const result = await readManifestText(text)
    assert.ok(!result.ok)
    assert.deepEqual(
      result.problems.map(({ code, key, file }) => [code, key, file]),
      [['PLUGIN_MANIFEST_INVALID', key, '/plugins/sample/plugin.json']],
    )
  })
}

test('readManifest() takes a fallback that says what to upgrade to', async () => {
  const fallback = { status: 426, headers: { upgrade: 'h2c' } }
  assert.deepEqual((await manifestOf({ on_failure: { fallback } })).onFailure, {
    kind: 'fallback',
    body: '',
    ...fallback,
  })
})

test('readManifest() leaves what is wrong with the schema of a built-in plugin to the config that it is used for', async () => {
  const text = manifest({ config_schema: { type: 'no such type' } })
  const codesOf = (problems: readonly { readonly code: string }[]) => problems.map(({ code }) => code)
  const file = (folder: string) => readerOf({ [`${folder}/plugin.json`]: text })
  const user = await readManifest('/plugins/odd', { readFile: file('/plugins/odd') })
  assert.deepEqual(user.ok || codesOf(user.problems), ['PLUGIN_MANIFEST_INVALID'])
  const builtIn = await readManifest('/built-in/odd', { readFile: file('/built-in/odd'), isBuiltIn: true })
  assert.ok(builtIn.ok)
  const used = checkPluginConfig(builtIn.manifest, [])
  assert.deepEqual(used.ok || codesOf(used.problems), ['PLUGIN_MANIFEST_INVALID'])
})

test('readManifest() applies the defaults', async () => {
  const { source, text, ...read } = await manifestOf()
  assert.equal(source.file, '/plugins/sample/plugin.json')
  assert.equal(JSON.parse(text).name, read.name)
  assert.deepEqual(read, {
    file: '/plugins/sample/plugin.json',
    folder: '/plugins/sample',
    name: 'sample',
    version: '1.0.0',
    description: '',
    entryPoint: 'PluginMain',
    config: {},
    enabled: true,
    scope: 'global',
    category: 'transform',
    priority: 100,
    configSchema: null,
    dependencies: {},
    permissions: [],
    isolation: 'none',
    timeoutMs: 1_000,
    onFailure: { kind: 'closed' },
  })
})

test('readManifest() lets observe and cache fail open unless told otherwise, and no other', async () => {
  const kinds = ['observe', 'security', 'traffic', 'transform', 'cache', 'custom'].map(async (category) => {
    const { onFailure } = await manifestOf({ category })
    return onFailure.kind
  })
  assert.deepEqual(await Promise.all(kinds), ['open', 'closed', 'closed', 'closed', 'open', 'closed'])
  assert.equal((await manifestOf({ category: 'cache', on_failure: 'closed' })).onFailure.kind, 'closed')
})

test('readManifest() takes the manifest of the design, comments included', async () => {
  const result = await readManifestText(`{
    "name": "hello",              // required, kebab-case, unique
    "version": "1.0.0",
    "description": "Adds a greeting header",
    "entry_point": "PluginMain",
    "config": { "greeting": "hi" },
    "enabled": true,
    "scope": "global", "category": "transform", "priority": 100,
    "config_schema": { },
    "dependencies": { "auth": "^1.0.0" },
    "permissions": ["net:api.example.com:443", "kv", "request:body"],
    "isolation": "none", "timeout_ms": 1000, "on_failure": "closed"
  }`)
  assert.deepEqual(result.ok ? [] : result.problems, [])
})

test('readManifest() leaves variables alone: a plugin has no say over the environment', async () => {
  const config = { key: '${HOME}', file: '${file:/etc/passwd}' }
  assert.deepEqual((await manifestOf({ config })).config, config)
})

test('loadConfigFile() tells which files the config includes, those that cannot be read left to problems', async () => {
  const text = 'via: "${file:via.txt}"\nlog: { level: "${file:/etc/level}" }\n'
  const readFile = readerOf({ '/c/cardea.yaml': text, '/c/via.txt': 'edge', '/etc/level': 'warn' })
  const loaded = await loadConfigFile('/c/cardea.yaml', { env: {}, readFile })
  assert.ok(loaded.ok)
  assert.deepEqual(loaded.config.includedFiles, ['/c/via.txt', '/etc/level'])
})
