import { relative } from 'node:path'
import type { ConfigProblem, Position } from './types.ts'

/** Problems as text for people: place, sentence, and the line of the source with a caret under the offender. */

export interface RenderOptions {
  /** With ANSI colours; see `wantsColor`. Default: without. */
  readonly color?: boolean
  /** The text of a problem's file, or null when it is not at hand: then there is no excerpt. */
  readonly textOf?: (file: string) => string | null
  /** Paths are shown relative to it. Default: as they are. */
  readonly directory?: string
}

const EXCERPT_LENGTH_MAX = 120

/** Colours only for a terminal, and not against the user's wish (https://no-color.org). */
export function wantsColor(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  return stream.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
}

/** All problems, an empty line between two; ends with a line break, or is '' for none. */
export function renderProblems(problems: readonly ConfigProblem[], options: RenderOptions = {}): string {
  return problems.map((problem) => renderProblem(problem, options)).join('\n')
}

function renderProblem(problem: ConfigProblem, options: RenderOptions): string {
  const paint = (code: string, text: string) =>
    options.color === true ? `\u001b[${code}m${text}\u001b[0m` : text
  const file = options.directory === undefined ? problem.file : shortPath(options.directory, problem.file)
  const place = `${file}:${problem.line}:${problem.column}`
  const lines = [`${paint('1', printable(place))} ${paint('31', problem.code)} ${printable(problem.message)}`]
  const excerpt = excerptOf(problem, options.textOf)
  if (excerpt !== null) {
    const gutter = `${problem.line}`
    lines.push(`  ${paint('2', `${gutter} |`)} ${excerpt.line}`)
    lines.push(`  ${paint('2', `${' '.repeat(gutter.length)} |`)} ${excerpt.indent}${paint('31', '^')}`)
  }
  const facts: [string, string | null][] = [
    ['key', problem.key],
    ['given', problem.given],
    ['expected', problem.expected],
    ['nearest', problem.nearest],
  ]
  for (const [name, value] of facts) {
    if (value !== null && value !== '')
      lines.push(`  ${paint('2', `${name}:`.padEnd(10))}${printable(value)}`)
  }
  return `${lines.join('\n')}\n`
}

/** The line of the place, and what leads up to the place in blanks; null when there is no text to show. */
export function excerptOf(
  place: Position & Pick<ConfigProblem, 'hidden' | 'secretColumn'>,
  textOf: RenderOptions['textOf'],
): { readonly line: string; readonly indent: string } | null {
  const written = textOf?.(place.file)?.split(/\r?\n/)[place.line - 1]
  if (written === undefined || written.trim() === '') return null
  const end = Math.min(place.hidden === true ? place.column : Infinity, place.secretColumn ?? Infinity)
  if (end < place.column) return null
  const line = end === Infinity ? written : `${written.slice(0, end - 1)}…`
  // Long lines are shown around the caret.
  const start = Math.max(0, place.column - 1 - EXCERPT_LENGTH_MAX / 2)
  const shown = line.slice(start, start + EXCERPT_LENGTH_MAX)
  const before = shown.slice(0, place.column - 1 - start)
  return {
    line: printable(shown),
    indent: printable(before).replaceAll(WIDE, '  ').replaceAll(/[^\t]/g, ' '),
  }
}

/** What a terminal shows two columns wide: Chinese, Japanese, Korean. Emoji are two characters here as it is. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/g

/**
 * A config may come from elsewhere: its control characters must not reach the terminal, nor those that break a line or have
 * it read in another order.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, '\ufffd')
}

export function shortPath(directory: string, file: string): string {
  const short = relative(directory, file)
  return short === '' || short.startsWith('..') ? file : short
}
