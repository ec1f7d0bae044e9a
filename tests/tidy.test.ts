import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { complaints } from './tidy/check.ts'
import { EXCEPTIONS } from './tidy/exceptions.ts'
import { importDirections, undeclaredPackages } from './tidy/import-rules.ts'
import type { Exception, Rule } from './tidy/offence.ts'
import { deadFiles } from './tidy/reachability.ts'
import { readTree, TreeParser } from './tidy/source-tree.ts'
import {
  anyTypes,
  defaultExports,
  leftovers,
  longFiles,
  longFunctions,
  registryHosts,
} from './tidy/text-rules.ts'

const parser = new TreeParser()
after(() => parser[Symbol.dispose]())

test('the repository is tidy', () => {
  const found = complaints(parser.parse(readTree(join(import.meta.dirname, '..'))), EXCEPTIONS)
  assert.equal(found.length, 0, `${found.length} complaints:\n${found.join('\n')}\n`)
})

const WORKSPACE = {
  'package.json': '{ "scripts": { "test": "node tests/run.ts" }, "devDependencies": { "fast-check": "1" } }',
  'packages/sdk/package.json':
    '{ "name": "@cardea/sdk", "exports": { ".": "./src/index.ts", "./testing": "./src/testing/index.ts" } }',
  'packages/sdk/src/index.ts': '',
  'packages/sdk/src/testing/index.ts': '',
  'packages/gateway/package.json':
    '{ "name": "cardea", "bin": { "cardea": "bin/cardea.js" }, "dependencies": { "@cardea/sdk": "1", "ajv": "8" } }',
}

/** The offences that one rule finds in a small workspace with these files, as `path:line subject`. */
function offences(rule: Rule, files: Record<string, string>): string[] {
  const found = rule(parser.parse({ ...WORKSPACE, ...files }))
  return found.map(({ path, line, subject }) => `${path}:${line}${subject === path ? '' : ` ${subject}`}`)
}

/** Whether a file at `path` that imports `specifier` offends. */
function refuses(path: string, specifier: string, others: Record<string, string> = {}): boolean {
  const found = offences(importDirections, { ...others, [path]: `import { x } from '${specifier}'\n` })
  assert.ok(found.length <= 1 && (found[0] ?? `${path}:1`) === `${path}:1`, found.join('\n'))
  return found.length === 1
}

describe('importDirections()', () => {
  const gateway = (path: string): string => `packages/gateway/src/${path}`
  const layers = [
    'base',
    'protocol',
    'config',
    'data-plane',
    'control-plane',
    'plugin-host',
    'observe',
    'main',
    'cli',
  ]
  const files = Object.fromEntries(layers.map((layer) => [gateway(`${layer}/other.ts`), '']))
  const refusedFrom = (layer: string): (string | undefined)[] => {
    const path = gateway(`${layer}/one.ts`)
    const imports = layers.map((to) => `import '../${to}/other.ts'`).join('\n')
    const found = offences(importDirections, { ...files, [path]: imports })
    return found.map((place) => layers[Number(place.slice(path.length + 1)) - 1])
  }

  test('refuses every import against the direction of the layers', () => {
    const planes = ['data-plane', 'control-plane', 'plugin-host']
    const top = ['observe', 'main', 'cli']
    assert.deepEqual(refusedFrom('base'), ['protocol', 'config', ...planes, ...top])
    assert.deepEqual(refusedFrom('protocol'), ['config', ...planes, ...top])
    assert.deepEqual(refusedFrom('config'), [...planes, ...top])
    assert.deepEqual(refusedFrom('data-plane'), ['control-plane', 'plugin-host', ...top])
    assert.deepEqual(refusedFrom('control-plane'), ['data-plane', 'plugin-host', 'main', 'cli'])
    assert.deepEqual(refusedFrom('plugin-host'), ['data-plane', 'control-plane', ...top])
    assert.deepEqual(refusedFrom('observe'), [...planes, 'main', 'cli'])
    assert.deepEqual(refusedFrom('main'), [])
    assert.deepEqual(refusedFrom('cli'), [])
  })

  test('sees every form of import', () => {
    const source = [
      `import '../main/other.ts'`,
      `import type { X } from '../main/other.ts'`,
      `export * from '../main/other.ts'`,
      `const later = import('../main/other.ts')`,
      `type Y = import('../main/other.ts').X`,
    ].join('\n')
    const path = gateway('base/one.ts')
    const found = offences(importDirections, { ...files, [path]: source })
    assert.deepEqual(
      found.sort(),
      [1, 2, 3, 4, 5].map((line) => `${path}:${line}`),
    )
  })

  test('refuses a folder that is no layer', () => {
    assert.ok(refuses(gateway('misc/one.ts'), '../base/other.ts', files))
  })

  test('lets the tests of a layer use tests/support, and nothing else of tests/', () => {
    const others = { 'tests/support/wait-for.ts': '', 'tests/run.ts': '' }
    assert.ok(!refuses(gateway('base/one.test.ts'), '../../../../tests/support/wait-for.ts', others))
    assert.ok(refuses(gateway('base/one.ts'), '../../../../tests/support/wait-for.ts', others))
    assert.ok(refuses(gateway('base/one.test.ts'), '../../../../tests/run.ts', others))
  })

  test('refuses another package by path, and the harness for plugin authors', () => {
    assert.ok(refuses(gateway('base/one.ts'), '../../../sdk/src/index.ts'))
    assert.ok(!refuses(gateway('base/one.ts'), '@cardea/sdk'))
    assert.ok(refuses(gateway('base/one.ts'), '@cardea/sdk/testing'))
  })

  test('refuses anything that the contract would depend on', () => {
    const inSdk = (specifier: string): boolean => refuses('packages/sdk/src/more.ts', specifier)
    assert.deepEqual(['node:fs', 'ajv', 'cardea', './testing/index.ts'].map(inSdk), [true, true, true, true])
    assert.ok(!inSdk('./index.ts'))
    assert.ok(!refuses('packages/sdk/src/testing/more.ts', 'node:fs'))
  })

  test('refuses plugins what is neither the SDK, Node, a library nor their own', () => {
    const others = {
      'plugins/cors/plugin.json': '{}',
      'plugins/cors/origins.ts': '',
      'plugins/auth/plugin.ts': '',
      [gateway('base/other.ts')]: '',
    }
    const inPlugin = (specifier: string): boolean => refuses('plugins/cors/plugin.ts', specifier, others)
    const refused = [
      '../../packages/gateway/src/base/other.ts',
      '../auth/plugin.ts',
      'cardea',
      '@cardea/sdk/testing',
    ]
    assert.deepEqual(refused.filter(inPlugin), refused)
    assert.deepEqual(['./origins.ts', '@cardea/sdk', 'node:crypto', 'jose'].filter(inPlugin), [])
    assert.ok(!refuses('plugins/cors/plugin.test.ts', '@cardea/sdk/testing', others))
    assert.ok(!refuses('plugins/cors/test-bench.ts', '@cardea/sdk/testing', others))
  })
})

test('undeclaredPackages() finds what a package imports and does not declare', () => {
  const source = `import 'ajv'\nimport 'ajv/dist/2020.js'\nimport 'fast-check'\nimport 'node:fs'\n`
  const files = {
    'packages/gateway/src/base/one.ts': source,
    'packages/gateway/src/base/one.test.ts': source,
  }
  assert.deepEqual(offences(undeclaredPackages, files), ['packages/gateway/src/base/one.ts:3'])
})

test("undeclaredPackages() holds built-in plugins to the gateway's own dependencies", () => {
  const source = `import type { X } from '@cardea/sdk'\nimport 'ajv'\nimport 'jose'\nimport 'fast-check'\n`
  const files = {
    'plugins/cors/plugin.json': '{}',
    'plugins/cors/plugin.ts': source,
    'plugins/cors/plugin.test.ts': source,
  }
  const expected = ['plugins/cors/plugin.test.ts:3', 'plugins/cors/plugin.ts:3', 'plugins/cors/plugin.ts:4']
  assert.deepEqual(offences(undeclaredPackages, files).sort(), expected)
})

describe('deadFiles()', () => {
  const live = {
    'packages/gateway/bin/cardea.js': `const file = join(folder, 'src', 'main.ts')`,
    'packages/gateway/bin/cardea.d.ts': '',
    'packages/gateway/src/main.ts': `import { x } from './x.ts'\nfork(new URL('./worker.ts', import.meta.url))`,
    'packages/gateway/src/x.ts': '',
    'packages/gateway/src/worker.ts': '',
    'plugins/cors/plugin.json': '{}',
    'plugins/cors/plugin.ts': '',
    'tests/run.ts': `import './support/a.ts'`,
    'tests/support/a.ts': '',
    'tests/x.test.ts': `import './support/b.ts'`,
    'tests/support/b.ts': '',
    'packages/gateway/src/x.test.ts': `import './test-support.ts'`,
    'packages/gateway/src/test-support.ts': '',
  }

  test('follows bins, exports, scripts, plugin folders, tests, imports and files that are run', () => {
    assert.deepEqual(offences(deadFiles, live), [])
  })

  test('finds a file that nothing leads to, and an island of them', () => {
    const dead = {
      'tests/support/c.ts': `import './d.ts'`,
      'tests/support/d.ts': `import './c.ts'`,
      'plugins/cors/unused.ts': '',
    }
    const expected = ['plugins/cors/unused.ts:1', 'tests/support/c.ts:1', 'tests/support/d.ts:1']
    assert.deepEqual(offences(deadFiles, { ...live, ...dead }).sort(), expected)
  })

  test('follows the names that a package has for files of its own', () => {
    const path = 'packages/gateway/src/named.ts'
    const gateway = JSON.parse(WORKSPACE['packages/gateway/package.json']) as object
    const text = JSON.stringify({ ...gateway, imports: { '#named': './src/named.ts' } })
    const manifest = { 'packages/gateway/package.json': text, [path]: '' }
    assert.deepEqual(offences(deadFiles, { ...live, ...manifest }), [`${path}:1`])
    const user = { 'packages/gateway/src/x.ts': `import { y } from '#named'` }
    assert.deepEqual(offences(deadFiles, { ...live, ...manifest, ...user }), [])
    // The name of another package's file is none here.
    const other = {
      'packages/gateway/src/x.ts': '',
      'packages/sdk/src/index.ts': `import { y } from '#named'`,
    }
    assert.deepEqual(offences(deadFiles, { ...live, ...manifest, ...other }), [`${path}:1`])
  })

  test('finds a shipped file that only its own test uses', () => {
    const tested = {
      'packages/gateway/src/y.ts': '',
      'packages/gateway/src/y.test.ts': `import './y.ts'`,
    }
    assert.deepEqual(offences(deadFiles, { ...live, ...tested }), ['packages/gateway/src/y.ts:1'])
  })
})

test('leftovers() finds notes to self, lone tests and breakpoints', () => {
  const source = [
    `// ${'FIX'}ME: later`,
    `/* ${'TO'}DO */`,
    `test${'.only'}('x', () => {})`,
    `test('x', { ${'only'}: true }, () => {})`,
    '  debugger',
    '// a method to do it only: never, testing.only',
  ].join('\n')
  assert.deepEqual(offences(leftovers, { 'tests/a.ts': source }), [
    'tests/a.ts:1',
    'tests/a.ts:2',
    'tests/a.ts:3',
    'tests/a.ts:4',
    'tests/a.ts:5',
  ])
})

test('longFiles() counts to 400', () => {
  const files = { 'tests/a.ts': 'x()\n'.repeat(400), 'tests/b.ts': 'x()\n'.repeat(401) }
  assert.deepEqual(offences(longFiles, files), ['tests/b.ts:1'])
})

test('longFunctions() counts to 70 in every kind of function, comments before it left out', () => {
  const body = (lines: number): string => `{\n${'  x()\n'.repeat(lines - 2)}}`
  const kinds = (lines: number): string =>
    [
      `// a comment\n/** and docs */\nexport function declared() ${body(lines)}`,
      `const arrow = async () => ${body(lines)}`,
      `const object = { method() ${body(lines)} }`,
      `class C { constructor() ${body(lines)}\n#hidden() ${body(lines)} }`,
      `test('x', () => ${body(lines)})`,
    ].join('\n')
  assert.deepEqual(offences(longFunctions, { 'tests/a.ts': kinds(70) }), [])
  const names = ['declared', 'arrow', 'method', 'constructor', '#hidden', 'a function without a name']
  assert.deepEqual(
    offences(longFunctions, { 'tests/a.ts': kinds(71) }).map((found) => found.replace(/:\d+/, '')),
    names.map((name) => `tests/a.ts tests/a.ts#${name}`),
  )
})

test('longFunctions() lets a suite be as long as its tests', () => {
  assert.deepEqual(
    offences(longFunctions, { 'tests/a.ts': `describe('x', () => {\n${'\n'.repeat(80)}})` }),
    [],
  )
})

test('defaultExports() finds each way to write one', () => {
  const files = {
    'tests/a.ts': 'export default 1',
    'tests/b.ts': 'export default function named() {}',
    'tests/c.ts': 'const x = 1\nexport { x as default }',
    'tests/d.ts': `export { default } from './a.ts'`,
    'tests/e.ts': `import x, { default as y } from './a.ts'\nswitch (x) { default: y() }\nexport const z = { default: 1 }`,
  }
  const expected = ['tests/a.ts:1', 'tests/b.ts:1', 'tests/c.ts:2', 'tests/d.ts:1']
  assert.deepEqual(offences(defaultExports, files), expected)
})

test('anyTypes() finds the type and not the word', () => {
  const source = `// any\nconst any = 'any'\nconst x: Map<string, any[]> = f(any)\nconst y = x as any\n`
  assert.deepEqual(offences(anyTypes, { 'tests/a.ts': source }), ['tests/a.ts:3', 'tests/a.ts:4'])
})

test('registryHosts() finds hosts in the lockfile, and leaves other addresses alone', () => {
  const lock = [
    '"resolved": "packages/sdk",',
    `"resolved": "${'https'}://example.com/x.tgz",`,
    `"other": "${'https'}://registry.example.org/x"`,
    `"funding": { "url": "${'https'}://github.com/sponsors/x" }`,
  ].join('\n')
  assert.deepEqual(offences(registryHosts, { 'package-lock.json': lock }), [
    'package-lock.json:2',
    'package-lock.json:3',
  ])
})

test('complaints() names every offence with its place and rule, those of an exception left out', () => {
  const tree = parser.parse({ ...WORKSPACE, 'tests/run.ts': 'const x: any = 1\nexport default x\n' })
  const tidy = 'packages/sdk/src/'
  const all = complaints(tree, []).filter((line) => !line.startsWith(tidy))
  assert.deepEqual(all, [
    'tests/run.ts:2: It exports a default; give the export a name [default-export]',
    'tests/run.ts:1: It says any; name the type, or say unknown [any]',
  ])
  const exception: Exception = { rule: 'any', subject: 'tests/run.ts', why: 'a test' }
  assert.deepEqual(
    complaints(tree, [exception]).filter((line) => !line.startsWith(tidy)),
    all.slice(0, 1),
  )
})

test('complaints() names an exception that covers nothing', () => {
  const tree = parser.parse({ ...WORKSPACE, 'tests/run.ts': '' })
  const exception: Exception = { rule: 'any', subject: 'tests/run.ts', why: 'a test' }
  assert.deepEqual(complaints(tree, [exception]), [
    'tests/run.ts: the exception from any is not needed any more; remove it',
  ])
})
