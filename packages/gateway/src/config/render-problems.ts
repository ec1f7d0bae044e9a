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
const LINES_BEFORE_END = 3

/** Colours only for a terminal, and not against the user's wish (https://no-color.org). */
export function wantsColor(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  return stream.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
}

/** All problems, an empty line between two; ends with a line break, or is '' for none. */
export function renderProblems(problems: readonly ConfigProblem[], options: RenderOptions = {}): string {
  const lines = new LineFinder()
  return problems.map((problem) => renderProblem(problem, options, lines)).join('\n')
}

function renderProblem(problem: ConfigProblem, options: RenderOptions, finder: LineFinder): string {
  const paint = (code: string, text: string) =>
    options.color === true ? `\u001b[${code}m${text}\u001b[0m` : text
  const file = options.directory === undefined ? problem.file : shortPath(options.directory, problem.file)
  const place = `${file}:${problem.line}:${problem.column}`
  const lines = [`${paint('1', printable(place))} ${paint('31', problem.code)} ${printable(problem.message)}`]
  const framePaint = { gutter: (text: string) => paint('2', text), mark: (text: string) => paint('31', text) }
  const frame = codeFrame(problem, options.textOf, framePaint, finder)
  for (const line of frame ?? []) lines.push(`  ${line}`)
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

/** What a frame is painted with. */
export interface FramePaint {
  gutter(text: string): string
  mark(text: string): string
}

const UNPAINTED: FramePaint = { gutter: (text) => text, mark: (text) => text }

type FramePlace = Position & Partial<Pick<ConfigProblem, 'code' | 'hidden' | 'secretColumn'>>

/**
 * Finds lines of texts that are asked for one after the other: a file may have very many problems. A text may be a library's,
 * and is not split into all of its lines.
 */
export class LineFinder {
  #text = ''
  #line = 1
  /** Of that line. */
  #start = 0

  /** Without its line break; undefined when the text has fewer. */
  find(text: string, number: number): string | undefined {
    if (text !== this.#text || number < this.#line) {
      this.#text = text
      this.#line = 1
      this.#start = 0
    }
    for (; this.#line < number; this.#line += 1) {
      const end = text.indexOf('\n', this.#start)
      if (end < 0) return undefined
      this.#start = end + 1
    }
    const end = text.indexOf('\n', this.#start)
    return text.slice(this.#start, end < 0 ? undefined : end).replace(/\r$/, '')
  }
}

/**
 * The line of the place with a caret below it, a text a line; null when there is no text to show. `lines`: for who has many
 * places of one file.
 */
export function codeFrame(
  place: FramePlace,
  textOf: RenderOptions['textOf'],
  paint: FramePaint = UNPAINTED,
  lines = new LineFinder(),
): string[] | null {
  const excerpt = excerptOf(place, textOf, lines)
  if (excerpt === null) return null
  const { caretIndent } = excerpt
  const width = `${excerpt.lines.at(-1)?.number ?? ''}`.length
  const shown = excerpt.lines.map(
    ({ number, text }) => `${paint.gutter(`${`${number}`.padStart(width)} |`)} ${text}`,
  )
  return [...shown, `${paint.gutter(`${' '.repeat(width)} |`)} ${caretIndent}${paint.mark('^')}`]
}

interface Excerpt {
  /** One; the last ones before the place when that is on an empty line. */
  readonly lines: readonly { readonly number: number; readonly text: string }[]
  /** What leads up to the place, in blanks. */
  readonly caretIndent: string
}

function excerptOf(place: FramePlace, textOf: RenderOptions['textOf'], lines: LineFinder): Excerpt | null {
  const text = textOf?.(place.file) ?? null
  const written = text === null ? undefined : lines.find(text, place.line)
  if (text === null || written === undefined) return null
  const end = Math.min(place.hidden === true ? place.column : Infinity, place.secretColumn ?? Infinity)
  if (written.trim() === '') return end === Infinity ? endBefore(text, place) : null
  if (end < place.column) return null
  const line = end === Infinity ? written : `${written.slice(0, end - 1)}…`
  return cutAround(place.column, [{ number: place.line, text: line }])
}

/** A bracket that nobody closed is missed at the end of the file: shown are the last lines that hold anything. */
function endBefore(text: string, { line, code }: FramePlace): Excerpt | null {
  const lines = text.split(/\r?\n/, line)
  const last = lines.findLastIndex((written) => written.trim() !== '')
  const lastText = lines[last]?.trimEnd()
  if (lastText === undefined) return null
  // What of a config that cannot be parsed is a secret nobody knows.
  const count = code === 'CONFIG_SYNTAX' ? 1 : LINES_BEFORE_END
  const first = Math.max(0, last - count + 1)
  const shown = lines.slice(first, last + 1).map((written, index) => ({
    number: first + index + 1,
    text: written.trimEnd(),
  }))
  return cutAround(lastText.length + 1, shown)
}

/** Long lines are shown around the column of the last one. */
function cutAround(column: number, lines: Excerpt['lines']): Excerpt {
  const start = Math.max(0, column - 1 - EXCERPT_LENGTH_MAX / 2)
  const before = lines.at(-1)?.text.slice(start, column - 1) ?? ''
  return {
    lines: lines.map(({ number, text }) => ({
      number,
      text: printable(text.slice(start, start + EXCERPT_LENGTH_MAX)),
    })),
    caretIndent: printable(before).replaceAll(WIDE, '  ').replaceAll(/[^\t]/g, ' '),
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
