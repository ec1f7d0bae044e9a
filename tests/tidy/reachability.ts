import { posix } from 'node:path'
import type { Offence } from './offence.ts'
import type { SourceTree, SourceUnit } from './source-tree.ts'

const SOURCE_NAME = /[\w.-]+\.(?:ts|tsx|js|mjs|cjs)$/

/** Files of packages that serve tests, and say so by their name. */
const TEST_HELPER = /(?:\.test\.ts|\/test-[\w-]+\.ts|\.contract\.ts)$/

/**
 * Every file is reached: from a package.json (bin, main, exports, scripts), a plugin.json beside it, or a test. What
 * only tests reach, in the source of a package, is dead unless its name says that it is for tests.
 */
export function deadFiles(tree: SourceTree): Offence[] {
  const tests = tree.units.map(({ path }) => path).filter((path) => path.endsWith('.test.ts'))
  const entries = [...manifestEntries(tree), ...pluginEntries(tree)]
  const live = reach(tree, entries)
  const tested = reach(tree, tests)
  return tree.units.flatMap(({ path }) => {
    if (live.has(path) || (tested.has(path) && !isShipped(path))) return []
    const reason = tested.has(path) ? 'nothing but tests uses it' : 'nothing imports or runs it'
    return [
      {
        rule: 'dead-file',
        path,
        line: 1,
        subject: path,
        message: `It is dead: ${reason}; remove it or put it to use`,
      },
    ]
  })
}

function isShipped(path: string): boolean {
  return /^packages\/[^/]+\/(src|bin)\//.test(path) && !TEST_HELPER.test(path)
}

function reach(tree: SourceTree, entries: readonly string[]): Set<string> {
  const units = new Map(tree.units.map((unit) => [unit.path, unit]))
  const reached = new Set<string>()
  const waiting = [...entries]
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const unit = units.get(path)
    if (unit === undefined || reached.has(path)) continue
    reached.add(path)
    // The types of plain JavaScript, which stand beside it.
    if (path.endsWith('.js')) waiting.push(path.replace(/\.js$/, '.d.ts'))
    for (const { target } of unit.imports) if (target !== null) waiting.push(target)
    waiting.push(...filesNamedIn(unit, tree))
  }
  return reached
}

/**
 * Files that are run rather than imported (`join(import.meta.dirname, 'worker.ts')`): any file of the same package whose
 * path ends in what a string says. Generous, since a wrong alarm costs more here than a missed one.
 */
function filesNamedIn(unit: SourceUnit, tree: SourceTree): string[] {
  const area = areaOf(unit.path)
  const endings = unit.strings
    .filter((text) => SOURCE_NAME.test(text) && !/\s/.test(text))
    .map((text) => `/${text.replace(/^(?:\.{0,2}\/)+/, '')}`)
  if (endings.length === 0) return []
  return tree.units
    .map(({ path }) => path)
    .filter((path) => areaOf(path) === area && endings.some((ending) => path.endsWith(ending)))
}

function areaOf(path: string): string {
  return path
    .split('/')
    .slice(0, path.startsWith('packages/') ? 2 : 1)
    .join('/')
}

function manifestEntries(tree: SourceTree): string[] {
  const found: string[] = []
  for (const [path, text] of tree.texts) {
    if (posix.basename(path) !== 'package.json') continue
    const manifest = JSON.parse(text) as Record<string, unknown>
    const said = ['bin', 'main', 'exports', 'scripts'].flatMap((key) => stringsIn(manifest[key]))
    const words = said.flatMap((line) => line.split(/\s+/))
    found.push(...words.map((word) => posix.join(posix.dirname(path), word)))
  }
  return found
}

function pluginEntries(tree: SourceTree): string[] {
  return [...tree.texts.keys()]
    .filter((path) => posix.basename(path) === 'plugin.json')
    .flatMap((path) =>
      ['plugin.ts', 'plugin.js', 'plugin.mjs'].map((name) => posix.join(posix.dirname(path), name)),
    )
}

function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsIn) : []
}
