import { resolve } from 'node:path'
import { stringsIn } from './document.ts'
import { copyTree, readPointer, replaceAtPointer } from './pointer.ts'
import { valueProblem } from './problem.ts'
import { UnfitFileError } from './text-file.ts'
import type { ConfigProblem, SourceMap } from './types.ts'

/**
 * Replaces `${NAME}`, `${NAME:-default}` and `${file:/path}` in the strings of a parsed file; `$$` stands for `$`.
 * Keys are left alone, and what was put in is not looked at again: a variable's text cannot name another.
 */

export interface ExpansionSources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Relative paths of `${file:…}` start here. */
  readonly directory: string
  /** Rejects when the file cannot be read. */
  readonly readFile: (path: string) => Promise<string>
}

export interface Expansion {
  /** A copy; the value given is not changed. */
  readonly value: unknown
  /** Pointers to the strings in which a variable was replaced. */
  readonly expanded: ReadonlySet<string>
  /** No string has a `$`: the value is what it is whatever environment and files hold. */
  readonly isConstant: boolean
  readonly problems: readonly ConfigProblem[]
}

/** Over this a `${file:…}` is taken for a mistake. */
const FILE_LENGTH_MAX = 1024 * 1024

const EXPRESSION = /\$(?:\$|\{([^}]*)(\})?)/g
const FORM = '${NAME}, ${NAME:-default} or ${file:/path}'
const NAME_WITH_DEFAULT = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/

/** Expands every string of `value`. What is missing or malformed is a problem at its place; the rest still expands. */
export async function expandVariables(
  value: unknown,
  source: SourceMap,
  sources: ExpansionSources,
): Promise<Expansion> {
  const copy = copyTree(value)
  const expanded = new Set<string>()
  const problems: ConfigProblem[] = []
  let isConstant = true
  for (const [pointer, text] of stringsIn(value)) {
    if (!text.includes('$')) continue
    isConstant = false
    const result = await expandString(text, sources)
    if ('reason' in result) problems.push(expansionProblem(result, source, pointer))
    else {
      replaceAtPointer(copy, pointer, result.text)
      if (result.replaced) expanded.add(pointer)
    }
  }
  return { value: copy, expanded, isConstant, problems }
}

interface ExpansionFailure {
  readonly code: 'CONFIG_INVALID' | 'CONFIG_VARIABLE_MISSING'
  readonly reason: string
  readonly expected: string
}

function expansionProblem(failure: ExpansionFailure, source: SourceMap, pointer: string): ConfigProblem {
  return valueProblem({
    code: failure.code,
    source,
    pointer,
    expected: failure.expected,
    message: failure.reason,
  })
}

async function expandString(
  text: string,
  sources: ExpansionSources,
): Promise<{ text: string; replaced: boolean } | ExpansionFailure> {
  let result = ''
  let end = 0
  let replaced = false
  for (const match of text.matchAll(EXPRESSION)) {
    result += text.slice(end, match.index)
    end = match.index + match[0].length
    if (match[0] === '$$') {
      result += '$'
      continue
    }
    const value = await evaluate(match[1] ?? '', match[2] !== undefined, sources)
    if (typeof value !== 'string') return value
    result += value
    replaced = true
  }
  return { text: result + text.slice(end), replaced }
}

async function evaluate(
  expression: string,
  closed: boolean,
  sources: ExpansionSources,
): Promise<string | ExpansionFailure> {
  if (expression.includes('${')) {
    return {
      code: 'CONFIG_INVALID',
      reason: `"\${${expression}}" has a variable inside of another, which is not possible: set one of its own.`,
      expected: FORM,
    }
  }
  if (closed && expression.startsWith('file:')) return readSecret(expression.slice('file:'.length), sources)
  const match = closed ? NAME_WITH_DEFAULT.exec(expression) : null
  const name = match?.[1]
  if (name === undefined) {
    return {
      code: 'CONFIG_INVALID',
      reason: `"\${${expression}${closed ? '}' : ''}" is not a variable: write "$$" for a plain "$".`,
      expected: FORM,
    }
  }
  const fallback = match?.[2]
  const value = Object.hasOwn(sources.env, name) ? sources.env[name] : undefined
  if (fallback !== undefined) return value === undefined || value === '' ? fallback : value
  if (value !== undefined) return value
  return {
    code: 'CONFIG_VARIABLE_MISSING',
    reason: `The variable ${name} is not set: set it, or write \${${name}:-default}.`,
    expected: `the environment variable ${name}`,
  }
}

async function readSecret(path: string, sources: ExpansionSources): Promise<string | ExpansionFailure> {
  const missing = (reason: string): ExpansionFailure => ({
    code: 'CONFIG_VARIABLE_MISSING',
    reason: `The file of \${file:${path}} ${reason}.`,
    expected: `a readable text file ${path}`,
  })
  if (path === '') return missing('has no name: write the path after the colon')
  try {
    const text = await sources.readFile(resolve(sources.directory, path))
    if (text.length > FILE_LENGTH_MAX) return missing(`is longer than ${FILE_LENGTH_MAX} characters`)
    // Editors and `echo` end a file with a line break that is no part of the secret.
    return text.replace(/\r?\n$/, '')
  } catch (error) {
    if (error instanceof UnfitFileError) return missing(`cannot be used: ${error.message}`)
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    return missing(`cannot be read (${code})`)
  }
}

/** The source map of a file once its variables are replaced. */
export function sourceMapOf(
  file: string,
  places: Pick<SourceMap, 'locate' | 'locateKey'>,
  unexpanded: unknown,
  expanded: ReadonlySet<string>,
): SourceMap {
  return {
    file,
    locate: places.locate,
    locateKey: places.locateKey,
    written: (pointer) => readPointer(unexpanded, pointer),
    isExpanded: (pointer) => expanded.has(pointer),
  }
}
