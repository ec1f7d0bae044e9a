import {
  isCallExpression,
  isExportAssignment,
  isExportDeclaration,
  isFunctionLikeDeclaration,
  isIdentifier,
  isNamedExports,
  isPropertyAssignment,
  isPropertyDeclaration,
  isVariableDeclaration,
  type Node,
  type SourceFile,
  SyntaxKind,
} from 'typescript/unstable/ast'
import type { Offence, RuleName } from './offence.ts'
import { lineOf, type SourceTree, type SourceUnit, walk } from './source-tree.ts'

const FILE_LINES_MAX = 400
const FUNCTION_LINES_MAX = 70

/** Spelled in pieces, so that this file holds none of them. */
const LEFTOVERS = [
  {
    pattern: new RegExp(`\\b(?:${['FIX' + 'ME', 'TO' + 'DO', 'X' + 'XX'].join('|')})\\b`),
    what: 'a note to self',
  },
  { pattern: /\b(?:test|it|describe|suite)\.only\b/, what: 'a test that runs alone' },
  { pattern: /\bonly: true\b/, what: 'a test that runs alone' },
  { pattern: /^\s*debugger\b/, what: 'a breakpoint' },
]

export function leftovers(tree: SourceTree): Offence[] {
  return tree.units.flatMap((unit) =>
    unit.text.split('\n').flatMap((text, index) =>
      LEFTOVERS.filter(({ pattern }) => pattern.test(text)).map(({ pattern, what }) => {
        const found = pattern.exec(text)?.[0].trim() ?? ''
        return offence('leftover', unit, index + 1, `"${found}" is ${what}; finish it or open an issue`)
      }),
    ),
  )
}

export function longFiles(tree: SourceTree): Offence[] {
  return tree.units.flatMap((unit) => {
    const lines = unit.text.replace(/\n$/, '').split('\n').length
    if (lines <= FILE_LINES_MAX) return []
    return [
      offence(
        'file-length',
        unit,
        1,
        `It has ${lines} lines, limit ${FILE_LINES_MAX}; split it by what it does`,
      ),
    ]
  })
}

/** From the first line of the function to its last; comments before it do not count, what it nests does. */
export function longFunctions(tree: SourceTree): Offence[] {
  return tree.units.flatMap((unit) => {
    const found: Offence[] = []
    for (const node of walk(unit.root)) {
      if (!isFunctionLikeDeclaration(node) || isSuite(node)) continue
      const start = lineOf(unit.root, node)
      const lines = unit.root.getLineAndCharacterOfPosition(node.end).line + 2 - start
      if (lines <= FUNCTION_LINES_MAX) continue
      const name = nameOf(node, unit.root)
      const message = `${name} has ${lines} lines, limit ${FUNCTION_LINES_MAX}; give its parts names`
      found.push({ ...offence('function-length', unit, start, message), subject: `${unit.path}#${name}` })
    }
    return found
  })
}

export function defaultExports(tree: SourceTree): Offence[] {
  return tree.units.flatMap((unit) =>
    [...walk(unit.root)].filter(isDefaultExport).map((node) => {
      const line = lineOf(unit.root, node)
      return offence('default-export', unit, line, 'It exports a default; give the export a name')
    }),
  )
}

export function anyTypes(tree: SourceTree): Offence[] {
  return tree.units.flatMap((unit) =>
    [...walk(unit.root)]
      .filter(({ kind }) => kind === SyntaxKind.AnyKeyword)
      .map((node) =>
        offence('any', unit, lineOf(unit.root, node), 'It says any; name the type, or say unknown'),
      ),
  )
}

/** A lockfile without registry hosts installs from whichever registry the reader uses. */
export function registryHosts(tree: SourceTree): Offence[] {
  const path = 'package-lock.json'
  return (tree.texts.get(path) ?? '').split('\n').flatMap((text, index) => {
    const found =
      /"resolved": "(?:git\+)?(?:https?|ssh):[^"]*"|https?:\/\/[^/"]*(?:registry|npmmirror|npmjs)[^"]*/.exec(
        text,
      )
    if (found === null) return []
    const message = `It names a host: ${found[0]}; install with the repository's .npmrc`
    return [{ rule: 'registry-host', path, line: index + 1, subject: path, message }]
  })
}

/** The function that `describe` gets is a list of tests, not a piece of logic. */
function isSuite(node: Node): boolean {
  const call = node.parent
  if (!isCallExpression(call) || !isIdentifier(call.expression)) return false
  return ['describe', 'suite'].includes(call.expression.text)
}

function nameOf(node: Node & { readonly name?: Node }, root: SourceFile): string {
  if (node.name !== undefined) return node.name.getText(root)
  if (node.kind === SyntaxKind.Constructor) return 'constructor'
  const { parent } = node
  if (isVariableDeclaration(parent) || isPropertyAssignment(parent) || isPropertyDeclaration(parent)) {
    return parent.name.getText(root)
  }
  return 'a function without a name'
}

function isDefaultExport(node: Node): boolean {
  if (isExportAssignment(node)) return true
  if (isExportDeclaration(node)) {
    const names =
      node.exportClause !== undefined && isNamedExports(node.exportClause) ? node.exportClause.elements : []
    return names.some(({ name }) => name.text === 'default')
  }
  // `export default function` and `export default class`.
  return node.kind === SyntaxKind.DefaultKeyword && node.parent.kind !== SyntaxKind.DefaultClause
}

function offence(rule: RuleName, { path }: SourceUnit, line: number, message: string): Offence {
  return { rule, path, line, subject: path, message }
}
