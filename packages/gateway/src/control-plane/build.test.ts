import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import {
  descendantsOf,
  haveEnded,
  killProcesses,
  signalProcesses,
} from '../../../../tests/support/processes.ts'
import { PLUGIN_LIMITS } from '../config/limits.ts'
import { buildPlugins, stopBuildService } from './build.ts'
import { folderOf, verifiedPlugin } from './test-support.ts'

after(stopBuildService)

async function buildOne(t: TestContext, files: Readonly<Record<string, unknown>>) {
  const folder = await folderOf(t, files)
  const { built, problems } = await buildPlugins([verifiedPlugin(folder)])
  return { folder, bundle: built[0]?.bundle, problems }
}

const first = (problems: readonly { line: number; column: number; message: string }[]) => {
  const [problem] = problems
  assert.ok(problem)
  return problem
}

test('buildPlugins() reports every error with file, line and column', async (t) => {
  const source = `import './gone.ts'\nexport const PluginMain = () => {\n  return 'é' +* 1\n}\n`
  const { folder, problems } = await buildOne(t, { 'plugin.ts': source })
  assert.equal(problems.length, 1)
  assert.deepEqual(problems[0], {
    code: 'PLUGIN_BUILD_FAILED',
    file: join(folder, 'plugin.ts'),
    line: 3,
    column: 15,
    key: '',
    given: '',
    expected: '',
    nearest: null,
    message: `Cannot build plugin "sample": Unexpected "*"`,
    folder,
  })
})

test('buildPlugins() reports what cannot be resolved, in whatever file', async (t) => {
  const { folder, problems } = await buildOne(t, {
    'plugin.ts': `import './lib/a.ts'\nimport 'left-pad'`,
    'lib/a.ts': `\n  import './gone.ts'`,
  })
  const messages = problems.map(({ message }) => message.replace(folder, 'FOLDER')).sort()
  assert.match(messages[0] ?? '', /Could not resolve ".\/gone\.ts"$/)
  assert.match(
    messages[1] ?? '',
    /Could not resolve "left-pad"; install it there: npm install --prefix "FOLDER" left-pad$/,
  )
  assert.deepEqual(
    problems.map(({ file, line, column }) => [file, line, column]).sort(),
    [
      [join(folder, 'lib/a.ts'), 2, 10],
      [join(folder, 'plugin.ts'), 2, 8],
    ].sort(),
  )
})

test('buildPlugins() refuses top-level await, also of a dependency', async (t) => {
  const own = await buildOne(t, { 'plugin.ts': `export const PluginMain = 1\n\n  await PluginMain` })
  assert.equal(own.problems.length, 1)
  assert.match(first(own.problems).message, /top-level await is not possible.*await inside of PluginMain/)
  assert.deepEqual([first(own.problems).line, first(own.problems).column], [3, 3])
  const dependency = await buildOne(t, {
    'plugin.ts': `import 'dep'`,
    'node_modules/dep/index.mjs': 'await 1',
    'node_modules/dep/package.json': { main: 'index.mjs' },
  })
  assert.match(first(dependency.problems).message, /top-level await/)
})

test('buildPlugins() refuses native addons where they are imported', async (t) => {
  const { folder, problems } = await buildOne(t, {
    'plugin.ts': `import * as fs from 'node:fs'\nimport native from 'native'\nexport const x = [fs, native]`,
    'node_modules/native/package.json': { main: 'addon.node' },
    'node_modules/native/addon.node': 'ELF',
  })
  assert.equal(problems.length, 1)
  assert.match(first(problems).message, /native addons cannot be bundled/)
  assert.deepEqual(
    [problems[0]?.file, first(problems).line, first(problems).column],
    [join(folder, 'plugin.ts'), 2, 20],
  )
})

test('buildPlugins() refuses the test harness in a plugin', async (t) => {
  const { problems } = await buildOne(t, {
    'plugin.ts': `import '@cardea/sdk'\nimport '@cardea/sdk/testing'`,
  })
  assert.equal(problems.length, 1)
  assert.match(first(problems).message, /"@cardea\/sdk\/testing" is for tests/)
  assert.equal(first(problems).line, 2)
})

test('buildPlugins() refuses imports that leave the folder, but not those of packages', async (t) => {
  const root = await folderOf(t, {
    'shared.ts': 'export const shared = 1',
    'plugins/p/plugin.ts': `import { shared } from '../../shared.ts'\nexport { shared }\nimport '${join('/', 'etc', 'x.js')}'`,
    'plugins/q/plugin.ts': `import { value } from 'hoisted'\nexport { value }\nimport './lib/../lib/deep.ts'`,
    'plugins/q/lib/deep.ts': `export { PluginMain } from '../main.ts'`,
    'plugins/q/main.ts': 'export const PluginMain = 1',
    'node_modules/hoisted/lib/index.js': `exports.value = require('../value.js')`,
    'node_modules/hoisted/value.js': `module.exports = 'hoisted value'`,
    'node_modules/hoisted/package.json': { main: 'lib/index.js' },
  })
  const refused = await buildPlugins([verifiedPlugin(join(root, 'plugins/p'))])
  assert.deepEqual(
    refused.problems.map(({ line, message }) => [
      line,
      /"([^"]+)" is outside of the plugin's folder/.exec(message)?.[1],
    ]),
    [
      [1, '../../shared.ts'],
      [3, '/etc/x.js'],
    ],
  )
  const allowed = await buildPlugins([verifiedPlugin(join(root, 'plugins/q'))])
  assert.deepEqual(allowed.problems, [])
  assert.match(allowed.built[0]?.bundle.code ?? '', /hoisted value/)
})

test('buildPlugins() reports the problems of all plugins and builds the others', async (t) => {
  const root = await folderOf(t, {
    'a/plugin.ts': 'syntax error',
    'b/plugin.ts': 'export const PluginMain = 1',
    'c/plugin.ts': 'import "./gone.ts"',
  })
  const plugins = ['a', 'b', 'c'].map((name) => verifiedPlugin(join(root, name), { name }))
  const { built, problems } = await buildPlugins(plugins)
  assert.deepEqual(
    problems.map(({ message }) => message.split(':')[0]),
    ['Cannot build plugin "a"', 'Cannot build plugin "c"'],
  )
  assert.deepEqual(
    built.map(({ manifest }) => manifest.name),
    ['b'],
  )
})

test('buildPlugins() bundles npm dependencies and leaves the contract and Node out', async (t) => {
  const { bundle } = await buildOne(t, {
    'plugin.ts': `import type { PluginMain as Main } from '@cardea/sdk'
      import { dep } from 'dep'
      import { join } from 'node:path'
      export const PluginMain: Main = () => ({ name: dep + join('a'), handle: () => true })`,
    'node_modules/dep/index.js': `exports.dep = 'text of dep'`,
  })
  assert.ok(bundle)
  assert.match(bundle.code, /text of dep/)
  assert.deepEqual(
    [...bundle.code.matchAll(/\brequire\("([^"]+)"\)/g)].map((match) => match[1]),
    ['node:path'],
  )
  assert.match(bundle.code, /^\/\* sample@1\.0\.0 \*\/ "use strict";\n/)
})

test('buildPlugins() hashes the text, which does not depend on the place of the folder', async (t) => {
  const files = {
    'plugin.ts': `import { dep } from 'dep'\nimport { b } from './b.ts'\nexport const x = [dep, b, import.meta.url]`,
    'b.ts': 'export const b = 2',
    'node_modules/dep/index.js': `exports.dep = __filename`,
  }
  const one = await buildOne(t, files)
  const two = await buildOne(t, files)
  assert.ok(one.bundle && two.bundle)
  assert.notEqual(one.folder, two.folder)
  assert.equal(one.bundle.code, two.bundle.code)
  assert.equal(one.bundle.sourceMap, two.bundle.sourceMap)
  assert.ok(!`${one.bundle.code}${one.bundle.sourceMap}`.includes(one.folder))
  assert.equal(one.bundle.codeHash, createHash('sha256').update(one.bundle.code).digest('hex'))
  assert.equal(one.bundle.entryFile, join(one.folder, 'plugin.ts'))
})

test('buildPlugins() does not let a tsconfig.json around the folder change the plugin', async (t) => {
  const root = await folderOf(t, {
    'tsconfig.json': { compilerOptions: { verbatimModuleSyntax: true, paths: { dep: ['./wrong.ts'] } } },
    'wrong.ts': 'export const dep = "wrong"',
    'p/plugin.ts': `import { Unused } from './types.ts'\nimport { dep } from 'dep'\nexport const x: Unused = dep`,
    'p/types.ts': 'export type Unused = string\nthrow new Error("kept")',
    'p/node_modules/dep/index.js': `exports.dep = 'right'`,
  })
  const { built, problems } = await buildPlugins([verifiedPlugin(join(root, 'p'))])
  assert.deepEqual(problems, [])
  assert.doesNotMatch(built[0]?.bundle.code ?? '', /wrong|kept/)
})

test('buildPlugins() keeps the text of own files of a usual size for code frames, and of no library', async (t) => {
  const long = `export const long = '${'x'.repeat(PLUGIN_LIMITS.sourceBytesMax)}'`
  const root = await folderOf(t, {
    'alone/plugin.ts': 'export const x = 1',
    'p/plugin.ts': `import { dep } from 'dep'\nimport { long } from './long.ts'\nexport const x = [dep, long]`,
    'p/long.ts': long,
    'p/node_modules/dep/index.js': `exports.dep = 1`,
  })
  const { built } = await buildPlugins(['alone', 'p'].map((name) => verifiedPlugin(join(root, name))))
  const textsOf = built.map(({ bundle }) => {
    const map = JSON.parse(bundle.sourceMap) as { sources: string[]; sourcesContent: (string | null)[] }
    return map.sources.map((source, index) => [source, map.sourcesContent[index]?.slice(0, 9) ?? null])
  })
  assert.deepEqual(textsOf[0], [['plugin.ts', 'export co']])
  assert.deepEqual(textsOf[1]?.toSorted(), [
    ['long.ts', null],
    ['node_modules/dep/index.js', null],
    ['plugin.ts', 'import { '],
  ])
})

test('buildPlugins() builds a folder that is a symlink', async (t) => {
  const root = await folderOf(t, {
    'real/p/plugin.ts': `export { PluginMain } from './main.ts'`,
    'real/p/main.ts': 'export const PluginMain = 1',
  })
  await symlink('real/p', join(root, 'link'))
  const { built, problems } = await buildPlugins([verifiedPlugin(join(root, 'link'))])
  assert.deepEqual(problems, [])
  assert.deepEqual(JSON.parse(built[0]?.bundle.sourceMap ?? '').sources, ['plugin.ts', 'main.ts'])
})

/** Of esbuild's processes that this test has started. */
function builders(): number[] {
  const ours = descendantsOf(process.pid)
  return ours.flatMap(({ pid, command }) => (command.includes('esbuild') ? [pid] : []))
}

/** So many plugins that they are built in several groups. */
async function manyPlugins(t: TestContext) {
  const names = Array.from({ length: 10 }, (_, index) => `p${index}`)
  const files = names.map((name) => [`${name}/plugin.ts`, 'export const PluginMain = 1'])
  const root = await folderOf(t, Object.fromEntries(files))
  return names.map((name) => verifiedPlugin(join(root, name), { name }))
}

test('buildPlugins() builds with another esbuild when its process is killed, before or meanwhile', async (t) => {
  const plugins = await manyPlugins(t)
  await buildPlugins(plugins)
  const before = builders()
  assert.equal(before.length, 1)
  await killProcesses(before)
  assert.equal((await buildPlugins(plugins)).built.length, plugins.length)
  const building = buildPlugins(plugins)
  signalProcesses(builders(), 'SIGKILL')
  const { built, problems } = await building
  assert.deepEqual([built.length, problems], [plugins.length, []])
  assert.equal(builders().length, 1)
})

test('buildPlugins() waits for no esbuild that does not answer', async (t) => {
  const plugins = await manyPlugins(t)
  await buildPlugins(plugins)
  const standing = builders()
  signalProcesses(standing, 'SIGSTOP')
  t.after(() => killProcesses(standing))
  const { built, problems } = await buildPlugins(plugins, { timeoutMs: 1_000 })
  assert.deepEqual([built.length, problems], [plugins.length, []])
})

test('buildPlugins() leaves off once nobody needs it any more, and leaves no esbuild that hangs', {
  timeout: 60_000,
}, async (t) => {
  const plugins = await manyPlugins(t)
  await buildPlugins(plugins)
  const standing = builders()
  signalProcesses(standing, 'SIGSTOP')
  t.after(() => killProcesses(standing))
  const leaving = new AbortController()
  // Longer than the test may take: nothing but the signal ends it.
  const building = buildPlugins(plugins, { timeoutMs: 3_600_000, signal: leaving.signal })
  leaving.abort()
  assert.deepEqual(await building, { built: [], problems: [] })
  const { built, problems } = await buildPlugins(plugins)
  assert.deepEqual([built.length, problems], [plugins.length, []])
  // The one that hung is told to end, and does once it can.
  signalProcesses(standing, 'SIGCONT')
  await haveEnded(standing)
  assert.equal(builders().length, 1)
})

test('buildPlugins() begins nothing that nobody needs any more, and esbuild stays', async (t) => {
  const plugins = await manyPlugins(t)
  await buildPlugins(plugins)
  const standing = builders()
  const signal = AbortSignal.abort()
  assert.deepEqual(await buildPlugins(plugins, { signal }), { built: [], problems: [] })
  await buildPlugins(plugins)
  assert.deepEqual(builders(), standing)
})
