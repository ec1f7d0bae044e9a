import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../../../../tests/support/cardea-command.ts'
import { LAUNCHER } from '../../../../tests/support/program.ts'
import { withTempDir } from '../../../../tests/support/temp-dir.ts'
import { pluginTest } from './plugin-test.ts'

async function refusalOf(name: string | null, dir: string, builtInDirectory = join(dir, 'none')) {
  let err = ''
  const io = {
    out() {},
    err(text: string) {
      err += text
    },
  }
  assert.equal(await pluginTest(name, { dir, io, builtInDirectory }), 1)
  return err
}

const passing = "import { test } from 'node:test'\ntest('it passes' as string, () => {})\n"
const failing = "import { test } from 'node:test'\ntest('it fails', () => { throw new Error('no') })\n"

test('pluginTest() says what is missing: the directory, plugins in it, the plugin, its tests', async () => {
  await using dir = await withTempDir()
  const nowhere = join(dir.path, 'nowhere')
  assert.match(
    await refusalOf(null, nowhere),
    /^There is no plugins directory .*nowhere; name one with --dir/,
  )
  await mkdir(join(dir.path, 'no-plugin'))
  assert.match(await refusalOf(null, dir.path), /holds no plugin: a folder with a plugin\.json/)
  await dir.write({ 'hello/plugin.json': '{}', 'hello/node_modules/other/other.test.js': 'throw 1' })
  assert.match(await refusalOf('helo', dir.path), /^There is no plugin "helo" .*did you mean "hello"\?\n$/)
  assert.match(await refusalOf('no-plugin', dir.path), /^There is no plugin "no-plugin" in /)
  assert.match(await refusalOf('../hello', join(dir.path, 'hello')), /^There is no plugin "\.\.\/hello" in /)
  assert.match(await refusalOf('hello', dir.path), /hello has no tests: write one in plugin\.test\.ts/)
  await dir.write({ 'more/plugin.json': '{}' })
  assert.match(await refusalOf(null, dir.path), /^None of the 2 plugins of .* has a test/)
})

test('`cardea plugin test` runs the tests of one plugin or of all, and its exit code tells how they went', async (t) => {
  await using dir = await withTempDir()
  await dir.write({
    'plugins/good/plugin.json': '{}',
    'plugins/good/parts/deep.test.mts': passing,
    'plugins/bad/plugin.json': '{}',
    'plugins/bad/plugin.test.ts': failing,
    'plugins/bare/plugin.json': '{}',
  })
  const run = (...args: string[]) => runCommand(t, ['plugin', 'test', ...args], { cwd: dir.path })
  const good = await run('good')
  assert.equal(good.code, 0, good.stdout + good.stderr)
  assert.match(good.stdout, /it passes/)
  assert.doesNotMatch(good.stdout, /it fails/)
  const all = await run()
  assert.equal(all.code, 1)
  assert.match(all.stdout, /it passes/)
  assert.match(all.stdout, /it fails/)
  assert.equal(all.stderr, 'Without tests: bare.\n')
  const elsewhere = await run('good', '--dir', 'nowhere')
  assert.equal(elsewhere.code, 1)
  assert.match(elsewhere.stderr, /^There is no plugin "good" in .*nowhere, nor a built-in one/)
})

test('`cardea plugin test` does not pass because nobody reads on, as behind `| head -1`', async () => {
  await using dir = await withTempDir()
  const text = `${passing}test('it fails', () => { throw new Error('no') })`
  await dir.write({ 'plugins/bad/plugin.json': '{}', 'plugins/bad/plugin.test.ts': text })
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined }
  // Where in its end the run is by then differs from one to the other.
  const ends = Array.from({ length: 4 }, async () => {
    const child = spawn(process.execPath, [LAUNCHER, 'plugin', 'test', 'bad'], { cwd: dir.path, env })
    child.stdout.once('data', () => child.stdout.destroy())
    return once(child, 'exit')
  })
  assert.deepEqual(await Promise.all(ends), Array(4).fill([1, null]))
})

test('`cardea plugin new` and `cardea plugin test` go together', async (t) => {
  await using dir = await withTempDir()
  const run = (...args: string[]) => runCommand(t, ['plugin', ...args], { cwd: dir.path })
  assert.equal((await run('new', 'hello')).code, 0)
  const tested = await run('test', 'hello')
  assert.equal(tested.code, 0, tested.stdout + tested.stderr)
  assert.match(tested.stdout, /pass 2/)
})

test('`cardea plugin test` fails what did not run to its end', async (t) => {
  await using dir = await withTempDir()
  const ends = {
    throws: `${passing}throw new Error('at the top')`,
    malformed: `${passing}const = 1`,
    exits: `${passing}test('it exits', () => process.exit(0))`,
    rejects: `${passing}void Promise.reject(new Error('unheard'))`,
  }
  for (const [name, text] of Object.entries(ends)) {
    await dir.write({ [`plugins/${name}/plugin.json`]: '{}', [`plugins/${name}/plugin.test.ts`]: text })
  }
  for (const name of Object.keys(ends)) {
    const { code, stdout, stderr } = await runCommand(t, ['plugin', 'test', name], { cwd: dir.path })
    assert.equal(code, 1, `${name}: ${stdout}${stderr}`)
    if (name === 'exits') assert.match(stderr, /calls process\.exit\(\)/)
    else if (name === 'rejects') assert.match(stdout + stderr, /unheard.*something beside them failed/s)
    else assert.match(stdout, /✖ failing tests:/)
  }
})

test('`cardea plugin test` fails the same where several files run, each in a process', async (t) => {
  await using dir = await withTempDir()
  for (const text of [
    `${passing}throw new Error('at the top')`,
    `${passing}test('it exits', () => process.exit(0))`,
    `${passing}void Promise.reject(new Error('unheard'))`,
  ]) {
    await dir.write({
      'plugins/sample/plugin.json': '{}',
      'plugins/sample/one.test.ts': passing,
      'plugins/sample/two.test.ts': text,
    })
    const { code, stdout, stderr } = await runCommand(t, ['plugin', 'test', 'sample'], { cwd: dir.path })
    assert.equal(code, 1, `${stdout}${stderr}`)
    assert.match(stdout, /✖ failing tests:/)
  }
})

test('`cardea plugin test` names the files that pass because no test is in them', async (t) => {
  await using dir = await withTempDir()
  const run = (...args: string[]) => runCommand(t, ['plugin', 'test', ...args], { cwd: dir.path })
  await dir.write({ 'plugins/empty/plugin.json': '{}', 'plugins/empty/plugin.test.ts': '// test(…)\n' })
  const note = 'No test is in empty/plugin.test.ts (docs/guides/test-a-plugin.md).\n'
  const alone = await run('empty')
  assert.deepEqual([alone.code, alone.stderr], [0, note])
  await dir.write({ 'plugins/empty/other.test.ts': passing })
  const beside = await run('empty')
  assert.deepEqual([beside.code, beside.stderr], [0, note])
})

test('`cardea plugin test` gives tests the SDK of the program, by import and by require', async (t) => {
  await using dir = await withTempDir()
  await dir.write({
    'plugins/sample/plugin.json': '{}',
    'plugins/sample/one.test.mts':
      "import { consumerOf } from '@cardea/sdk'\nimport { testGateway } from '@cardea/sdk/testing'\nconsumerOf.call\ntestGateway.call",
    'plugins/sample/package.json': { type: 'commonjs' },
    'plugins/sample/two.test.js':
      "require('@cardea/sdk').consumerOf.call\nrequire('@cardea/sdk/testing').testGateway.call",
  })
  const { code, stdout, stderr } = await runCommand(t, ['plugin', 'test', 'sample'], { cwd: dir.path })
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /^ℹ pass 2$/m)
})

/** What keeps a process running by the kind and place that the message has for it. */
const leftOpen = {
  timer: ['', 'setInterval(() => {}, 1000)', 'a timer, begun at .*timer.test.ts:2:27'],
  server: [
    "import { createServer } from 'node:net'",
    'createServer().listen(0)',
    'a server, begun at .*server.test.ts:2:42',
  ],
  plugin: [
    "import { pluginFolder, testGateway } from '@cardea/sdk/testing'",
    'return testGateway({ plugins: [pluginFolder(import.meta.dirname)] }).then((gateway) => gateway.close())',
    'a timer, begun at .*sample/plugin.ts:2:3',
  ],
} as const

const openingPlugin = `export function PluginMain() {
  setInterval(() => {}, 1000)
  return { name: 'sample', handle: () => true }
}
`

function openingTest(name: keyof typeof leftOpen): string {
  const [before, text] = leftOpen[name]
  return `${before};import { test } from 'node:test'\ntest('it passes', () => { ${text} })\n`
}

/** The time between its tests is longer than anyone waits for what was left open. */
const slowBetween = `import { test } from 'node:test'
test('the first', () => {})
await new Promise((resolve) => setTimeout(resolve, 13_000))
test('the last', () => {})
`

test('`cardea plugin test` ends, and fails, where a test leaves something open, and says what and where', async (t) => {
  await using dir = await withTempDir()
  const names = ['timer', 'server', 'plugin'] as const
  const manifest = '{ "name": "sample", "version": "1.0.0" }'
  for (const name of names) {
    await dir.write({
      [`${name}/sample/plugin.json`]: manifest,
      [`${name}/sample/plugin.ts`]: openingPlugin,
      [`${name}/sample/${name}.test.ts`]: openingTest(name),
    })
  }
  await dir.write({
    'slow/sample/plugin.json': manifest,
    'slow/sample/slow.test.ts': slowBetween,
    'both/sample/plugin.json': manifest,
    'both/sample/slow.test.ts': slowBetween,
    'both/sample/timer.test.ts': openingTest('timer'),
  })
  const run = (folder: string) =>
    runCommand(t, ['plugin', 'test', 'sample', '--dir', folder], { cwd: dir.path })
  const [both, slow, ...alone] = await Promise.all([run('both'), run('slow'), ...names.map(run)])
  for (const [index, name] of names.entries()) {
    const { code, stdout = '', stderr = '' } = alone[index] ?? {}
    assert.equal(code, 1, stdout)
    assert.match(stderr, messageFor(name))
    assert.match(stdout, /pass 1\n.*fail 0/)
  }
  assert.deepEqual([slow.code, slow.stderr], [0, ''])
  assert.match(slow.stdout, /pass 2/)
  assert.equal(both.code, 1)
  assert.match(both.stdout, messageFor('timer'))
  assert.match(both.stdout, /pass 3\n.*fail 1/)
})

function messageFor(name: keyof typeof leftOpen): RegExp {
  return new RegExp(`The tests of .*${name}\\.test\\.ts are done, .*:\n  ${leftOpen[name][2]}\n`)
}
