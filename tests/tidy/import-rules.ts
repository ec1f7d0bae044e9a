import { posix } from 'node:path'
import type { Offence, RuleName } from './offence.ts'
import { type Import, packageFolder, type SourceTree, type SourceUnit } from './source-tree.ts'

const GATEWAY = 'packages/gateway/src/'
const SDK = 'packages/sdk/src/'
const GATEWAY_MANIFEST = 'packages/gateway/package.json'
const EVERY_KIND = ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies']
const GROUND = ['base', 'protocol', 'config']

/** What each folder of the gateway may import besides itself (DESIGN.md, 7). */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  protocol: ['base'],
  config: ['base', 'protocol'],
  'data-plane': GROUND,
  'plugin-host': GROUND,
  'control-plane': [...GROUND, 'observe'],
  observe: GROUND,
  'admin-api': [...GROUND, 'control-plane', 'observe'],
  main: [...GROUND, 'data-plane', 'plugin-host', 'control-plane', 'observe', 'admin-api', 'cli'],
  cli: [...GROUND, 'data-plane', 'plugin-host', 'control-plane', 'observe', 'admin-api', 'main'],
}

/** Imports point one way: the gateway's folders, the SDK, plugins and tests each know only what they may. */
export function importDirections(tree: SourceTree): Offence[] {
  const pluginFolders = [...tree.texts.keys()]
    .filter((path) => posix.basename(path) === 'plugin.json')
    .map((path) => `${posix.dirname(path)}/`)
  return tree.units.flatMap((unit) => {
    const plugin = pluginFolders.find((folder) => unit.path.startsWith(folder))
    return unit.imports.flatMap((found) => {
      if (isTest(unit.path) && found.target?.startsWith('tests/support/')) return []
      const reason = plugin === undefined ? refuse(unit, found) : refuseInPlugin(unit, found, plugin)
      return reason === null ? [] : [offence('import-direction', unit, found, reason)]
    })
  })
}

/**
 * A package imports only what its own package.json declares: what is hoisted here may be missing at a user's. Built-in
 * plugins are shipped inside of the gateway's package, so that one declares their libraries.
 */
export function undeclaredPackages(tree: SourceTree): Offence[] {
  const root = dependenciesOf(tree, 'package.json', EVERY_KIND)
  return tree.units.flatMap((unit) => {
    const folder = /^packages\/[^/]+\//.exec(unit.path)?.[0]
    const isBuiltIn = unit.path.startsWith('plugins/')
    if (folder === undefined && !isBuiltIn) return []
    const manifest = isBuiltIn ? GATEWAY_MANIFEST : `${folder}package.json`
    const declared = dependenciesOf(tree, manifest, isBuiltIn ? ['dependencies'] : EVERY_KIND)
    return unit.imports.flatMap((found) => {
      const name = packageName(found.specifier)
      if (name === null || declared.has(name) || (isTest(unit.path) && root.has(name))) return []
      return [offence('undeclared-package', unit, found, `add ${name} to ${manifest}`)]
    })
  })
}

function refuse({ path }: SourceUnit, { specifier, target }: Import): string | null {
  if (path.startsWith(SDK)) return refuseInSdk(path, specifier, target)
  if (!path.startsWith('packages/') || target === null) return null
  if (!target.startsWith('packages/')) return 'a package knows nothing of what is outside packages/'
  if (packageFolder(path) !== packageFolder(target) && specifier.startsWith('.')) {
    return 'another package is imported by its name'
  }
  return path.startsWith(GATEWAY) ? refuseInGateway(path, target) : null
}

function refuseInGateway(path: string, target: string): string | null {
  if (target.startsWith(`${SDK}testing/`)) return 'the test harness is for plugin authors'
  if (!target.startsWith(GATEWAY)) return null
  const from = layerOf(path)
  const to = layerOf(target)
  const allowed = LAYERS[from]
  if (allowed === undefined) return `${from}/ is no layer; name it in tests/tidy/import-rules.ts`
  if (from === to || allowed.includes(to)) return null
  return `${from}/ may import ${allowed.length === 0 ? 'only itself' : `only itself and ${allowed.join(', ')}`}`
}

function refuseInSdk(path: string, specifier: string, target: string | null): string | null {
  if (path.startsWith(`${SDK}testing/`) || isTest(path)) return null
  if (target?.startsWith(SDK) && !target.startsWith(`${SDK}testing/`)) return null
  return `the contract depends on nothing, so not on ${specifier}`
}

function refuseInPlugin(unit: SourceUnit, { specifier, target }: Import, folder: string): string | null {
  if (specifier.startsWith('.')) {
    const path = target ?? posix.join(posix.dirname(unit.path), specifier)
    return path.startsWith(folder) ? null : 'a plugin imports no file outside its own folder'
  }
  const name = packageName(specifier)
  if (name === 'cardea') return 'a plugin knows the gateway by @cardea/sdk only'
  if (specifier === '@cardea/sdk/testing' && !isForTests(unit.path)) return 'the test harness is for tests'
  return null
}

function offence(rule: RuleName, unit: SourceUnit, { specifier, line }: Import, reason: string): Offence {
  return {
    rule,
    path: unit.path,
    line,
    subject: unit.path,
    message: `It imports ${specifier}: ${reason}`,
  }
}

function layerOf(path: string): string {
  return path.slice(GATEWAY.length).split('/')[0] ?? ''
}

function isTest(path: string): boolean {
  return path.endsWith('.test.ts')
}

/** Tests, and what several of them share. */
function isForTests(path: string): boolean {
  return isTest(path) || posix.basename(path).startsWith('test-')
}

/** `@scope/name` or `name`; null for files and for what Node brings. */
function packageName(specifier: string): string | null {
  if (/^(\.|\/|node:|#)/.test(specifier)) return null
  const parts = specifier.split('/')
  return parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

function dependenciesOf(tree: SourceTree, path: string, kinds: readonly string[]): Set<string> {
  const manifest = JSON.parse(tree.texts.get(path) ?? '{}') as Record<string, unknown>
  const names = kinds.flatMap((kind) => Object.keys((manifest[kind] as object | undefined) ?? {}))
  return new Set([...names, String(manifest.name ?? '')])
}
