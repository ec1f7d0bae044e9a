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

test('configCheck() sums up a valid file in one line and exits 0', async () => {
  const { code, out, err } = await run(
    'upstreams: { a: { targets: ["http://a"] } }\nroutes: [{ name: a, upstream: a }]\n',
  )
  assert.deepEqual([code, err], [0, ''])
  assert.equal(out, 'cardea.yaml is valid: 1 listener, 1 route, 1 upstream.\n')
})
