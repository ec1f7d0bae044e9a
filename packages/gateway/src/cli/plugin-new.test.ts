import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { Context, Log } from '@cardea/sdk'
import { GatewayError } from '../base/errors.ts'
import { configForTarget } from '../config/load.ts'
import { stopBuildService } from '../control-plane/build.ts'
import { PluginLifecycle } from '../control-plane/lifecycle.ts'
import { prepareGeneration } from '../control-plane/prepare.ts'
import { InstancePool } from '../plugin-host/instance-pool.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import { pluginNew } from './plugin-new.ts'
import { testOutput } from './test-answers.ts'

after(stopBuildService)

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'cardea-test-')))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function run(name: string, dir: string, builtInDirectory = join(dir, 'none')) {
  const { io, printed } = testOutput()
  return { code: await pluginNew(name, { dir, io, builtInDirectory }), ...printed }
}

/** The generation that `cardea --to` would make in `directory`. */
async function prepared(directory: string): Promise<GenerationPlan> {
  const loaded = configForTarget('http://127.0.0.1:3000', { directory })
  assert.ok(loaded.ok)
  const directories = { user: loaded.config.pluginsDirectory, builtIn: join(directory, 'none') }
  const { config } = loaded
  const lifecycle = new PluginLifecycle()
  const result = await prepareGeneration({ config, number: 1, directories, lifecycle })
  assert.ok(result.ok, JSON.stringify(result))
  return result.plan
}

test('pluginNew() refuses names that plugins cannot have, and says the rule', async (t) => {
  const directory = await temporaryDirectory(t)
  const wrong = [
    '',
    'Hello',
    'a b',
    '-a',
    'a-',
    'a--b',
    '1a',
    '../up',
    'a/b',
    '.hidden',
    'é',
    'a'.repeat(101),
  ]
  for (const name of wrong) {
    const { code, out, err } = await run(name, directory)
    assert.equal(code, 1)
    assert.equal(out, '')
    assert.match(err, /^Cannot make plugin ".*": a name is kebab-case, such as "rate-limit"/)
  }
  assert.deepEqual(await readdir(directory), [])
})

test('pluginNew() leaves what exists as it is', async (t) => {
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'mine'))
  await writeFile(join(directory, 'taken'), 'a file')
  for (const name of ['mine', 'taken']) {
    const { code, err } = await run(name, directory)
    assert.equal(code, 1)
    assert.match(err, /^Cannot make .*: it is there already; choose another name or remove it first\.\n$/)
  }
  assert.deepEqual(await readdir(join(directory, 'mine')), [])
  assert.equal(await readFile(join(directory, 'taken'), 'utf8'), 'a file')
})

test('pluginNew() refuses the name of a built-in plugin, and in their own folder says that it exists', async (t) => {
  const builtIn = await temporaryDirectory(t)
  const directory = await temporaryDirectory(t)
  await mkdir(join(builtIn, 'cors'))
  const elsewhere = await run('cors', directory, builtIn)
  assert.equal(elsewhere.code, 1)
  assert.match(elsewhere.err, /^Cannot make plugin "cors": a built-in plugin has that name/)
  const inPlace = await run('cors', builtIn, builtIn)
  assert.equal(inPlace.code, 1)
  assert.match(inPlace.err, /^Cannot make .*cors: it is there already/)
  assert.deepEqual([await readdir(directory), await readdir(join(builtIn, 'cors'))], [[], []])
})

test('pluginNew() reports a directory that cannot be made', async (t) => {
  const directory = await temporaryDirectory(t)
  await writeFile(join(directory, 'file'), '')
  const { code, err } = await run('hello', join(directory, 'file', 'plugins'))
  assert.equal(code, 1)
  assert.match(err, /ENOTDIR/)
  const asFile = await run('hello', join(directory, 'file'))
  assert.equal(asFile.code, 1)
  assert.match(asFile.err, /file\/hello: .*\/file is a file, and no folder\.\n$/)
})

test('pluginNew() writes a plugin that builds, starts and works', async (t) => {
  const directory = await temporaryDirectory(t)
  const { code, out, err } = await run('my-hello', join(directory, 'plugins'))
  assert.deepEqual([code, err], [0, ''])
  assert.match(
    out,
    /^Made plugin "my-hello" in .*my-hello:\n {2}README\.md\n {2}plugin\.ts\n {2}plugin\.test\.ts\n {2}plugin\.json\n/,
  )

  const plan = await prepared(directory)
  assert.deepEqual(
    plan.instances.map(({ name, config }) => [name, config]),
    [['my-hello', { greeting: 'hello' }]],
  )
  const staged = await new InstancePool({ log: silent }).stage(plan)
  const live = [...staged.instances.values()]
  const set: [string, string][] = []
  const headers = { set: (name: string, value: string) => set.push([name, value]) }
  assert.equal(live[0]?.middleware.handle({ response: { headers } } as unknown as Context), true)
  assert.deepEqual(set, [['x-greeting', 'hello']])
  await staged.release()
})

test('pluginNew() writes a test that passes', async (t) => {
  const directory = await temporaryDirectory(t)
  await run('my-hello', join(directory, 'plugins'))
  await symlink(join(import.meta.dirname, '../../../../node_modules'), join(directory, 'node_modules'))
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const { stdout } = await promisify(execFile)(process.execPath, ['--test', '--test-reporter=tap'], {
    cwd: join(directory, 'plugins/my-hello'),
    env,
  })
  assert.match(stdout, /^# pass 2$/m)
  assert.match(stdout, /^# fail 0$/m)
})

test('pluginNew() writes a README whose example is a config', async (t) => {
  const directory = await temporaryDirectory(t)
  await run('my-hello', directory)
  const readme = await readFile(join(directory, 'my-hello/README.md'), 'utf8')
  assert.match(readme, /plugins:\n {2}my-hello: \{ config: \{ greeting: good morning \} \}/)
})

test('an error in a built plugin has a stack that names plugin.ts and its line', async (t) => {
  const directory = await temporaryDirectory(t)
  await run('thrower', join(directory, 'plugins'))
  const folder = join(directory, 'plugins/thrower')
  await mkdir(join(folder, 'node_modules/dep'), { recursive: true })
  await writeFile(
    join(folder, 'node_modules/dep/index.js'),
    `\nexports.fail = (why) => {\n  throw new Error(why)\n}`,
  )
  const source = [
    `import type { Context } from '@cardea/sdk'`,
    `import { fail } from 'dep'`,
    ``,
    `interface Unused { a: string }`,
    `export const PluginMain = () => ({`,
    `  name: 'thrower',`,
    `  async handle(_: Context) {`,
    `    await null`,
    `    return fail('thrown late')`,
    `  },`,
    `})`,
  ]
  await writeFile(join(folder, 'plugin.ts'), source.join('\n'))
  const pool = new InstancePool({ log: silent })
  const [live] = (await pool.stage(await prepared(directory))).instances.values()
  assert.ok(live)
  await assert.rejects(
    async () => live.middleware.handle({} as Context),
    (error) => {
      assert.ok(error instanceof Error)
      const [message, dependency, own] = live.mapStack(error).split('\n')
      assert.equal(message, 'Error: thrown late')
      assert.ok(dependency?.endsWith(`(${folder}/node_modules/dep/index.js:3:9)`), `${dependency}`)
      assert.ok(own?.endsWith(`(${folder}/plugin.ts:9:12)`), `${own}`)
      return true
    },
  )
  await writeFile(join(folder, 'plugin.ts'), `\n\nexport const PluginMain = () => { throw new Error('no') }`)
  await assert.rejects(pool.stage(await prepared(directory)), (error) => {
    assert.ok(error instanceof GatewayError && error.cause instanceof Error)
    assert.equal(error.message, 'Cannot start plugin "thrower": no')
    assert.ok(error.cause.stack?.includes(`(${folder}/plugin.ts:3:41)`), `${error.cause.stack}`)
    return true
  })
  await pool.close()
})
