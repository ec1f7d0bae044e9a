import type { ErrorCode } from '../base/errors.ts'
import type { ConfigProblem, Position } from '../config/types.ts'

/** A problem that a stage of a change found. */
export interface PluginProblem extends ConfigProblem {
  /** The folder of the plugin that it keeps from going on, or null where it is no single plugin's. */
  readonly folder: string | null
}

/** The parts of a problem that not every problem has. */
export type ProblemParts = Partial<Pick<PluginProblem, 'key' | 'given' | 'expected' | 'nearest' | 'folder'>>

/** A problem at a place; a bare path is the whole file or folder, 1:1. */
export function problemAt(
  place: Position | string,
  code: ErrorCode,
  message: string,
  parts: ProblemParts = {},
): PluginProblem {
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
    folder: parts.folder ?? null,
  }
}

/** The same problems as those of the plugin in `folder`. */
export function problemsOf(folder: string, problems: readonly ConfigProblem[]): PluginProblem[] {
  return problems.map((problem) => ({ ...problem, folder }))
}
