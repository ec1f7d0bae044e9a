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
