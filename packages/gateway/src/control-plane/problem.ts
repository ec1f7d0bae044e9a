import type { ErrorCode } from '../base/errors.ts'
import type { ConfigProblem, Position } from '../config/types.ts'

/** The parts of a problem that not every problem has. */
export type ProblemParts = Partial<Pick<ConfigProblem, 'key' | 'given' | 'expected' | 'nearest'>>

/** A problem at a place; a bare path is the whole file or folder, 1:1. */
export function problemAt(
  place: Position | string,
  code: ErrorCode,
  message: string,
  parts: ProblemParts = {},
): ConfigProblem {
  const { file, line, column } = typeof place === 'string' ? { file: place, line: 1, column: 1 } : place
  return {
    file,
    line,
    column,
    code,
    key: parts.key ?? '',
    given: parts.given ?? '',
    expected: parts.expected ?? '',
    nearest: parts.nearest ?? null,
    message,
  }
}
