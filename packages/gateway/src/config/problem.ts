import type { ErrorCode } from '../base/errors.ts'
import { describePointer } from './pointer.ts'
import type { ConfigProblem, Position, SourceMap } from './types.ts'

const GIVEN_LENGTH_MAX = 60

/** A file that a program wrote may be wrong in very many places by one mistake. Nobody reads more of them than this. */
export const PROBLEMS_TOLD_MAX = 1_000

/** Stands for a secret. */
const HIDDEN = '(hidden)'

/** A value as JSON, shortened; '' for one that is not there. */
export function shorten(value: unknown): string {
  if (value === undefined) return ''
  // JSON has no form of these, and would say null.
  const isNoJson = typeof value === 'number' && !Number.isFinite(value)
  const text = isNoJson ? `.${value}`.toLowerCase().replace('infinity', 'inf') : (JSON.stringify(value) ?? '')
  return text.length <= GIVEN_LENGTH_MAX ? text : `${text.slice(0, GIVEN_LENGTH_MAX - 1)}…`
}

/**
 * The value for people. It is always the written form: what `${…}` stood for may be a secret, so no problem is made
 * from an expanded value.
 */
export function shownValue(source: SourceMap, pointer: string): string {
  return shorten(source.written(pointer))
}

export interface ValueProblem {
  readonly code?: ErrorCode
  readonly source: SourceMap
  readonly pointer: string
  readonly expected: string
  readonly nearest?: string | null
  /** Replaces the usual sentence. Must not hold an expanded value. */
  readonly message?: string
  /** Points at the key instead of the value. */
  readonly atKey?: boolean
  /** The value is a secret and not shown. */
  readonly hidden?: boolean
  /** See `ConfigProblem`. */
  readonly conflict?: boolean
}

/** A problem with a value that the file holds. */
export function valueProblem(problem: ValueProblem): ConfigProblem {
  const { source, pointer, expected } = problem
  const key = describePointer(pointer)
  const shown = shownValue(source, pointer)
  const given = problem.hidden === true && shown !== '' ? HIDDEN : shown
  const nearest = problem.nearest ?? null
  const offender = key === '' ? 'The file' : `"${key}"`
  const hint =
    nearest === null
      ? ''
      : ` Did you mean ${/^(true|false)$/.test(nearest) ? nearest : JSON.stringify(nearest)}?`
  return {
    code: problem.code ?? 'CONFIG_INVALID',
    ...(problem.atKey === true ? source.locateKey(pointer) : source.locate(pointer)),
    key,
    given,
    expected,
    nearest,
    message:
      problem.message ?? `${offender} is ${given === '' ? 'missing' : given}, expected ${expected}.${hint}`,
    ...(problem.hidden === true ? { hidden: true } : {}),
    ...(problem.conflict === true ? { conflict: true } : {}),
  }
}

/** A problem with the file as such, at a place. */
export function fileProblem(
  code: ErrorCode,
  position: Position,
  expected: string,
  message: string,
): ConfigProblem {
  return { code, ...position, key: '', given: '', expected, nearest: null, message }
}

/** With those of `further` that say something new: of a key with a problem more is known when that is mended. */
export function alsoProblems(
  problems: readonly ConfigProblem[],
  further: readonly ConfigProblem[],
): ConfigProblem[] {
  const known = new Set(problems.map(({ file, key }) => JSON.stringify([file, key])))
  const fresh = further.filter(({ file, key }) => key === '' || !known.has(JSON.stringify([file, key])))
  return sortProblems([...problems, ...fresh])
}

/** File order; within a place the order in which they were found. Doubles are dropped. */
export function sortProblems<Problem extends ConfigProblem>(problems: readonly Problem[]): Problem[] {
  const seen = new Map<string, Problem>()
  for (const problem of problems) {
    const id = JSON.stringify([problem.file, problem.line, problem.column, problem.key, problem.message])
    if (!seen.has(id)) seen.set(id, problem)
  }
  return [...seen.values()].sort(
    (a, b) => a.file.localeCompare(b.file) || a.line - b.line || a.column - b.column,
  )
}

/** Stands at the end for those that come after `PROBLEMS_TOLD_MAX`, where the first of them is. */
export function leftOut<Problem extends ConfigProblem>(first: Problem, count: number): Problem {
  const message = `${count} more ${count === 1 ? 'problem is' : 'problems are'} not listed.`
  return { ...first, key: '', given: '', expected: '', nearest: null, message, omitted: count }
}

/** With those that are left out. */
export function countOf(problems: readonly Pick<ConfigProblem, 'omitted'>[]): number {
  return problems.reduce((count, { omitted = 1 }) => count + omitted, 0)
}
