import { type Document, isMap, isScalar, isSeq, type YAMLError } from 'yaml'
import { describePointer, joinPointer } from './pointer.ts'
import { fileProblem, shorten } from './problem.ts'
import type { ConfigProblem, Position } from './types.ts'

/** The parser's words are for those who program with it; what people meet often is said for them. */

/** As in `host: *.example.com`. */
export const STAR_HINT = 'a value that begins with "*" has to stand in quotes'

export function syntaxProblem(position: Position, reason: string): ConfigProblem {
  const message = `The file cannot be parsed: ${reason}.`
  return fileProblem('CONFIG_SYNTAX', position, 'valid YAML or JSON', message)
}

/** What is wrong with a document, each thing once, and in the order of their places. */
export function syntaxProblems(
  document: Document,
  text: string,
  at: (offset: number) => Position,
): ConfigProblem[] {
  // A warning is an unknown tag or directive: what it should have meant would silently not happen.
  const errors = withoutAfterEffects([...document.errors, ...document.warnings])
  const found = [
    ...errors.map((error) => {
      const [offset] = error.pos
      return { offset, problem: syntaxProblem(at(offset), reasonFor(error, text)) }
    }),
    ...doubledKeys(document).map((key) => ({
      offset: key.offset,
      problem: duplicateProblem(at(key.offset), key),
    })),
  ]
  return found.sort((a, b) => a.offset - b.offset).map(({ problem }) => problem)
}

/** What the parser calls by itself, each where it stands; any other error makes it misread all that follows. */
const LONE_ERRORS = new Set<string>(['NON_STRING_KEY', 'TAG_RESOLVE_FAILED'])

function withoutAfterEffects(errors: readonly YAMLError[]): YAMLError[] {
  const first = errors.find(({ code }) => !LONE_ERRORS.has(code))
  return errors.filter((error) => error === first || LONE_ERRORS.has(error.code))
}

interface WrittenKey {
  readonly offset: number
  readonly name: string
  readonly pointer: string
}

/** Each place where a key stands that its object has already. */
function doubledKeys(document: Document): readonly WrittenKey[] {
  const doubled: WrittenKey[] = []
  const walk = (node: unknown, pointer: string): void => {
    if (isSeq(node)) for (const [index, item] of node.items.entries()) walk(item, joinPointer(pointer, index))
    if (!isMap(node)) return
    const known = new Set<unknown>()
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : ''
      const within = joinPointer(pointer, name)
      if (isScalar(key) && known.has(key.value)) {
        doubled.push({ offset: key.range?.[0] ?? 0, name, pointer: within })
      } else if (isScalar(key)) known.add(key.value)
      walk(value, within)
    }
  }
  walk(document.contents, '')
  return doubled
}

/** Its value is not shown: of a file that cannot be parsed nobody knows what is a secret. */
function duplicateProblem(position: Position, { name, pointer }: WrittenKey): ConfigProblem {
  const given = shorten(name)
  const reason = `the key ${given} stands twice in one object`
  return {
    ...syntaxProblem(position, reason),
    key: describePointer(pointer),
    given,
    expected: 'each key once in an object',
  }
}

function reasonFor(error: YAMLError, text: string): string {
  const [start] = error.pos
  if (text.slice(start - 1, start + 1) === '${') {
    return 'inside of { } and [ ] a value with "${…}" has to stand in quotes, as in "${PORT}"'
  }
  switch (error.code) {
    case 'MULTIPLE_DOCS':
      return 'a second document begins here ("---"), and a config is one'
    case 'NON_STRING_KEY':
      return 'a key must be a string'
    case 'BAD_ALIAS':
      return `${error.message}; ${STAR_HINT}`
    case 'MULTILINE_IMPLICIT_KEY':
      return 'between a key and its value ":" and a space are needed, on one line'
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'a key has a key for its value here: quote a value that has ": " in it, or mend the indentation'
    case 'RESOURCE_EXHAUSTION':
      return 'it is nested too deeply'
    default:
      return error.message
  }
}
