import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
} from 'yaml'
import { joinPointer, splitPointer } from './pointer.ts'
import { STAR_HINT, syntaxProblem, syntaxProblems } from './syntax-problems.ts'
import type { ConfigProblem, Position } from './types.ts'

/** Text to value, and from a place in the value back to the place in the text. */

/** Far above any real config; protects against a device or a log given by mistake. */
export const CONFIG_TEXT_LENGTH_MAX = 8 * 1024 * 1024

/** Values of a document with all its aliases written out: a thousand routes may share settings, "a billion laughs" none. */
const EXPANDED_VALUES_MAX = 1_000_000

/** To resolve one, the parser looks through all of them. */
const ALIASES_MAX = 10_000

export interface ParsedText {
  readonly value: unknown
  locate(pointer: string): Position
  locateKey(pointer: string): Position
}

export type ParseResult =
  | { readonly ok: true; readonly parsed: ParsedText }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }

/**
 * Parses YAML 1.2 (core schema), or JSON with comments when the file's name ends in `.json`. Duplicate keys, unknown
 * tags, several documents and keys that are no strings are problems of code CONFIG_SYNTAX. Never throws.
 *
 * One parser gives the positions of both: YAML 1.2 contains JSON. It is laxer, though, so JSON must pass JSON.parse too.
 */
export function parseText(text: string, file: string): ParseResult {
  const start: Position = { file, line: 1, column: 1 }
  const problem = (position: Position, reason: string): ParseResult => ({
    ok: false,
    problems: [syntaxProblem(position, reason)],
  })
  if (text.length > CONFIG_TEXT_LENGTH_MAX) {
    return problem(start, `it is longer than ${CONFIG_TEXT_LENGTH_MAX} characters`)
  }
  try {
    const isJson = file.endsWith('.json')
    const plainText = isJson ? blankComments(text) : text
    const strict = isJson ? parseJson(plainText) : undefined
    if (strict === undefined) return parseWithPositions(plainText, file)
    if ('reason' in strict) return problem({ file, ...positionOf(text, strict.offset) }, strict.reason)
    return isUnambiguous(plainText, strict.value)
      ? { ok: true, parsed: { value: strict.value, ...latePlaces(plainText, file) } }
      : parseWithPositions(plainText, file, strict)
  } catch (error) {
    if (error instanceof RangeError) return problem(start, 'it is nested too deeply')
    throw error
  }
}

type Places = Pick<ParsedText, 'locate' | 'locateKey'>

/**
 * The places of JSON that JSON.parse has read and that has nothing to refuse, found when somebody looks at line or column:
 * nobody does where there is nothing to complain of. *Measured*: a test's config is read in a tenth of the time.
 */
function latePlaces(text: string, file: string): Places {
  let places: Places | null = null
  const late = (find: (found: Places) => Position): Position => {
    const found = (): Position => {
      places ??= readDocument(text, file).places
      return find(places)
    }
    return {
      file,
      get line() {
        return found().line
      },
      get column() {
        return found().column
      },
    }
  }
  return {
    locate: (pointer) => late((found) => found.locate(pointer)),
    locateKey: (pointer) => late((found) => found.locateKey(pointer)),
  }
}

function parseWithPositions(text: string, file: string, strict?: { value: unknown }): ParseResult {
  const { document, targets, at, places } = readDocument(text, file)
  const problems = syntaxProblems(document, text, at)
  const fault = problems.length === 0 ? faultOf(document, targets) : null
  if (fault !== null) problems.push(syntaxProblem(at(fault.offset), fault.reason))
  if (problems.length > 0) return { ok: false, problems }
  // The parser's own bound is on uses of one anchor, however small it is.
  const value: unknown = strict === undefined ? document.toJS({ maxAliasCount: -1 }) : strict.value
  return { ok: true, parsed: { value, ...places } }
}

/** What each alias stands for; undefined where no anchor of its name is before it. */
type Targets = ReadonlyMap<Alias, Node | undefined>

interface ReadDocument {
  readonly document: Document
  readonly targets: Targets
  readonly places: Places
  at(offset: number): Position
}

function readDocument(text: string, file: string): ReadDocument {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    stringKeys: true,
    prettyErrors: false,
    // The parser compares each key with all before it; `syntaxProblems` finds those that stand twice.
    uniqueKeys: false,
    // A file may ask for YAML 1.1, and tags such as !!set make values that are no JSON: no check would see into them.
    schema: 'core',
    resolveKnownTags: false,
    merge: false,
  })
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(1, line), column: Math.max(1, col) }
  }
  const targets = aliasTargets(document.contents)
  const places = {
    locate: (pointer: string) => at(offsetOf(document.contents, targets, pointer, 'value')),
    locateKey: (pointer: string) => at(offsetOf(document.contents, targets, pointer, 'key')),
  }
  return { document, targets, at, places }
}

/** In one go: the parser looks through the whole document for each. */
function aliasTargets(root: unknown): Targets {
  const anchors = new Map<string, Node>()
  const targets = new Map<Alias, Node | undefined>()
  const walk = (node: unknown): void => {
    if (isAlias(node)) targets.set(node, anchors.get(node.source))
    else if (isNode(node)) {
      if ('anchor' in node && typeof node.anchor === 'string') anchors.set(node.anchor, node)
      if (isMap(node)) {
        for (const { key, value } of node.items) {
          walk(key)
          walk(value)
        }
      } else if (isSeq(node)) for (const item of node.items) walk(item)
    }
  }
  walk(root)
  return targets
}

interface Fault {
  readonly offset: number
  readonly reason: string
}

function faultOf(document: Document, targets: Targets): Fault | null {
  if (targets.size > ALIASES_MAX) return { offset: 0, reason: `it has more than ${ALIASES_MAX} aliases` }
  const fault = versionFault(document) ?? findFault(targets, document.contents, [])
  if (fault !== null) return fault
  const values = valuesIn(targets, document.contents, new Map())
  return values > EXPANDED_VALUES_MAX ? { offset: 0, reason: 'its aliases expand too far' } : null
}

/** How many values there are below a node once its aliases, none of which holds itself, are written out. */
function valuesIn(targets: Targets, node: unknown, counted: Map<unknown, number>): number {
  if (isAlias(node)) return valuesIn(targets, targets.get(node), counted)
  const known = counted.get(node)
  if (known !== undefined) return known
  const members: readonly unknown[] = isMap(node)
    ? node.items.map(({ value }) => value)
    : isSeq(node)
      ? node.items
      : []
  const count = members.reduce<number>((sum, member) => sum + valuesIn(targets, member, counted), 1)
  if (members.length > 0) counted.set(node, count)
  return count
}

/** In YAML 1.1 `yes` is true, and 010 is eight. */
function versionFault({ directives }: Document): Fault | null {
  const version = directives?.yaml.version ?? '1.2'
  return version === '1.2' ? null : { offset: 0, reason: `it says that it is YAML ${version}, and not 1.2` }
}

/**
 * What the parser lets pass and we do not: keys that change prototypes or that YAML 1.1 would merge, aliases to nothing or
 * to what holds them.
 */
function findFault(targets: Targets, node: unknown, holders: readonly unknown[]): Fault | null {
  if (isAlias(node)) {
    const target = targets.get(node)
    const name = `the alias "*${node.source}"`
    if (target === undefined) {
      return { offset: startOf(node) ?? 0, reason: `${name} has no anchor before it; ${STAR_HINT}` }
    }
    return holders.includes(target) ? { offset: startOf(node) ?? 0, reason: `${name} holds itself` } : null
  }
  const within = [...holders, node]
  if (isSeq(node)) return firstFound(node.items, (item) => findFault(targets, item, within))
  if (!isMap(node)) return null
  return firstFound(node.items, (pair) => keyFault(pair.key) ?? findFault(targets, pair.value, within))
}

function keyFault(key: unknown): Fault | null {
  if (!isScalar(key)) return null
  const offset = startOf(key) ?? 0
  if (key.value === '__proto__') return { offset, reason: 'the key "__proto__" is not allowed' }
  // Taken for a name it would quietly merge nothing.
  return key.value === '<<' && key.type === 'PLAIN'
    ? { offset, reason: 'merge keys ("<<") are no part of YAML 1.2: write the keys out' }
    : null
}

function firstFound<Item, Found>(items: readonly Item[], find: (item: Item) => Found | null): Found | null {
  for (const item of items) {
    const found = find(item)
    if (found !== null) return found
  }
  return null
}

/** Where the key or value starts; that of the nearest container when it is not in the document. */
function offsetOf(root: unknown, targets: Targets, pointer: string, part: 'key' | 'value'): number {
  let node = resolved(targets, root)
  let offset = startOf(root) ?? 0
  for (const key of splitPointer(pointer)) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key)
      if (pair === undefined) return offset
      const keyOffset = startOf(pair.key) ?? offset
      offset = part === 'key' ? keyOffset : (startOf(pair.value) ?? keyOffset)
      node = resolved(targets, pair.value)
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(key)]
      if (item === undefined) return offset
      offset = startOf(item) ?? offset
      node = resolved(targets, item)
    } else return offset
  }
  return offset
}

function startOf(node: unknown): number | null {
  return isNode(node) ? (node.range?.[0] ?? null) : null
}

function resolved(targets: Targets, node: unknown): Node | null {
  if (isAlias(node)) return targets.get(node) ?? null
  return isNode(node) ? node : null
}

/** JSON with comments to JSON: comments become spaces, so that every offset stays. */
function blankComments(text: string): string {
  const comment = /"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g
  return text.replaceAll(comment, (found) =>
    found.startsWith('"') ? found : found.replaceAll(/[^\r\n]/g, ' '),
  )
}

function parseJson(text: string): { value: unknown } | Fault {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch (error) {
    const message = error instanceof Error ? error.message : ''
    const offset = /at position (\d+)/.exec(message)?.[1]
    // The engine's words quote the text around the fault, which the place shows better.
    const reason = message.replace(/ in JSON at position .*$/s, '').replace(/, (\.\.\.)?".*$/s, '')
    return {
      reason: reason === '' ? 'it is not JSON' : reason,
      offset: offset === undefined ? findNonJson(text) : Number(offset),
    }
  }
}

/** More than any file needs, and far less than what would exhaust the stack of the other parser. */
const NESTING_MAX = 100
const JSON_STRING = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g

/** Whether no object has a key twice, nor one that changes prototypes: JSON.parse takes both without a word. */
function isUnambiguous(text: string, value: unknown): boolean {
  const kept = keysIn(value, 0)
  if (kept === null) return false
  let written = 0
  for (const [, colon] of text.matchAll(JSON_STRING)) if (colon !== undefined) written++
  return written === kept
}

/** How many keys all objects in it have; null when one is `__proto__`, or it is nested deeply. */
function keysIn(value: unknown, depth: number): number | null {
  if (typeof value !== 'object' || value === null) return 0
  if (depth > NESTING_MAX || Object.hasOwn(value, '__proto__')) return null
  const members: readonly unknown[] = Object.values(value)
  let count = Array.isArray(value) ? 0 : members.length
  for (const member of members) {
    const within = keysIn(member, depth + 1)
    if (within === null) return null
    count += within
  }
  return count
}

const JSON_LITERAL = /^(true|false|null|-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?)$/

/** Where YAML reads on and JSON does not: the engine does not always say. */
function findNonJson(text: string): number {
  const document = parseDocument(text, { prettyErrors: false, logLevel: 'silent', uniqueKeys: false })
  const visit = (node: unknown): number | null => {
    if (isSeq(node)) return firstFound(node.items, visit)
    if (isMap(node)) return firstFound(node.items, (pair) => visit(pair.key) ?? visit(pair.value))
    if (!isScalar(node) || node.type === 'QUOTE_DOUBLE') return null
    return node.type === 'PLAIN' && JSON_LITERAL.test(node.source ?? '') ? null : startOf(node)
  }
  return visit(document.contents) ?? document.errors[0]?.pos[0] ?? 0
}

function positionOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset)
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') }
}

/** Every pointer to a string in the value, in the document's order. */
export function* stringsIn(value: unknown, pointer = ''): Generator<[pointer: string, text: string]> {
  if (typeof value === 'string') yield [pointer, value]
  else if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) yield* stringsIn(member, joinPointer(pointer, key))
  }
}
