import { globSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import {
  isCallExpression,
  isExportDeclaration,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isNoSubstitutionTemplateLiteral,
  isStringLiteral,
  type Node,
  type SourceFile,
  SyntaxKind,
} from 'typescript/unstable/ast'
import { createVirtualFileSystem } from 'typescript/unstable/fs'
import { API } from 'typescript/unstable/sync'

/** The repository as the tidy rules read it: every source file parsed, every package.json beside it. */
export interface SourceTree {
  readonly units: readonly SourceUnit[]
  /** Text of files by path: sources and the JSON files that say how they hang together. */
  readonly texts: ReadonlyMap<string, string>
}

export interface SourceUnit {
  /** Relative to the repository, with `/`. */
  readonly path: string
  readonly text: string
  readonly root: SourceFile
  readonly imports: readonly Import[]
  /** The other string literals, for paths to files that are run rather than imported. */
  readonly strings: readonly string[]
}

export interface Import {
  readonly specifier: string
  /** From 1. */
  readonly line: number
  /** The path of the file it leads to, when that is in the tree. */
  readonly target: string | null
}

const PLACES = ['packages', 'plugins', 'examples', 'bench', 'deploy', 'tests']
const FILES = ['**/*.{ts,tsx,js,mjs,cjs}', '**/package.json', '**/plugin.json']
const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'fixtures', 'results', '.cardea'])
/** Of the folders into which packages/gateway/build/bundle.js writes. */
const BUILD_PREFIX = 'dist-'
const SOURCE = /\.(ts|tsx|js|mjs|cjs)$/

/** Reads what the rules look at, from the files on disk: path relative to `root` → text. */
export function readTree(root: string): Record<string, string> {
  const exclude = (name: string): boolean =>
    SKIPPED_FOLDERS.has(posix.basename(name)) || posix.basename(name).startsWith(BUILD_PREFIX)
  const found = PLACES.flatMap((place) =>
    globSync(FILES, { cwd: join(root, place), exclude }).map((file) => posix.join(place, file)),
  )
  const paths = [...found, 'package.json', 'package-lock.json'].sort()
  return Object.fromEntries(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]))
}

/** TypeScript's own parser, in a process of its own; nothing is resolved, nothing type-checked. */
export class TreeParser implements Disposable {
  readonly #files = createVirtualFileSystem({})
  readonly #api = new API({ fs: this.#files, cwd: '/' })
  #treeCount = 0

  /** Parses every source file of the tree. Trees stay readable after the parser's end. */
  parse(files: Readonly<Record<string, string>>): SourceTree {
    const texts = new Map(Object.entries(files))
    const named = namedFiles(texts)
    const units = this.#parseSources(texts).map(([path, root]): SourceUnit => {
      const { specifiers, strings } = literalsOf(root)
      const imports = specifiers.map((literal) => {
        const specifier = textOf(literal)
        return { specifier, line: lineOf(root, literal), target: resolve(specifier, path, texts, named) }
      })
      return { path, text: texts.get(path) ?? '', root, imports, strings: strings.map(textOf) }
    })
    return { units, texts }
  }

  [Symbol.dispose](): void {
    this.#api.close()
  }

  #parseSources(texts: ReadonlyMap<string, string>): [path: string, root: SourceFile][] {
    const folder = `/tree-${this.#treeCount++}`
    const sources = [...texts].filter(([path]) => SOURCE.test(path))
    for (const [path, text] of sources) this.#files.writeFile?.(`${folder}/${path}`, text)
    const compilerOptions = { allowJs: true, noLib: true, noResolve: true, types: [], module: 'nodenext' }
    const config = JSON.stringify({ compilerOptions, files: sources.map(([path]) => path) })
    this.#files.writeFile?.(`${folder}/tsconfig.json`, config)
    using snapshot = this.#api.updateSnapshot({ openProjects: [`${folder}/tsconfig.json`] })
    const program = snapshot.getProject(`${folder}/tsconfig.json`)?.program
    return sources.map(([path]) => {
      const root = program?.getSourceFile(`${folder}/${path}`)
      if (root === undefined) throw new Error(`TypeScript does not parse ${path}`)
      return [path, root]
    })
  }
}

/** The line that the node starts on, comments before it left out; from 1. */
export function lineOf(root: SourceFile, node: Node): number {
  return root.getLineAndCharacterOfPosition(node.getStart(root)).line + 1
}

/** The node and everything below it. */
export function* walk(node: Node): Generator<Node> {
  yield node
  const children: Node[] = []
  node.forEachChild((child) => {
    children.push(child)
  })
  for (const child of children) yield* walk(child)
}

function literalsOf(root: SourceFile): { specifiers: Node[]; strings: Node[] } {
  const specifiers = new Set<Node>()
  const strings: Node[] = []
  for (const node of walk(root)) {
    const specifier = specifierOf(node)
    if (specifier !== undefined) specifiers.add(specifier)
    else if (isStringNode(node) && !specifiers.has(node)) strings.push(node)
  }
  return { specifiers: [...specifiers], strings }
}

/** Of `import`, `export … from`, `import()` and the type `import('…')`. */
function specifierOf(node: Node): Node | undefined {
  if (isImportDeclaration(node) || isExportDeclaration(node)) return node.moduleSpecifier
  if (isImportTypeNode(node)) return isLiteralTypeNode(node.argument) ? node.argument.literal : undefined
  if (!isCallExpression(node) || node.expression.kind !== SyntaxKind.ImportKeyword) return undefined
  const [argument] = node.arguments
  return argument !== undefined && isStringNode(argument) ? argument : undefined
}

function isStringNode(node: Node): boolean {
  return isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)
}

function textOf(literal: Node): string {
  return isStringLiteral(literal) || isNoSubstitutionTemplateLiteral(literal) ? literal.text : ''
}

function resolve(
  specifier: string,
  from: string,
  texts: ReadonlyMap<string, string>,
  named: ReadonlyMap<string, string>,
): string | null {
  const isRelative = /^\.\.?\//.test(specifier)
  const name = specifier.startsWith('#') ? posix.join(packageFolder(from), specifier) : specifier
  const target = isRelative ? posix.join(posix.dirname(from), specifier) : named.get(name)
  return target !== undefined && texts.has(target) ? target : null
}

/** Of a file in it. */
export function packageFolder(path: string): string {
  return path.split('/').slice(0, 2).join('/')
}

/**
 * What the workspace's packages export, by specifier, and what one calls by a name of its own (`#name`), by its folder and
 * that: the path of the file.
 */
function namedFiles(texts: ReadonlyMap<string, string>): Map<string, string> {
  const found = new Map<string, string>()
  for (const [path, text] of texts) {
    if (posix.basename(path) !== 'package.json') continue
    const folder = posix.dirname(path)
    const { name, exports = {}, imports = {} } = JSON.parse(text) as Manifest
    for (const [prefix, files] of [
      [name, exports],
      [folder, imports],
    ] as const) {
      for (const [key, target] of Object.entries(files)) {
        if (typeof target !== 'string' || prefix === undefined) continue
        found.set(posix.join(prefix, key), posix.join(folder, target))
      }
    }
  }
  return found
}

interface Manifest {
  readonly name?: string
  readonly exports?: Readonly<Record<string, unknown>>
  readonly imports?: Readonly<Record<string, unknown>>
}
