import { sep } from 'node:path'
import { packageFolder } from '../base/own-folders.ts'
import { printable } from '../config/render-problems.ts'

/** What the commands write in: tables, amounts, times, colours. */

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const

/** Puts text into a colour, or leaves it. */
export type Paint = (style: keyof typeof STYLES, text: string) => string

export const PLAIN: Paint = (_style, text) => text

export const COLORS: Paint = (style, text) => `\u001b[${STYLES[style]}m${text}\u001b[0m`

/** Columns as wide as their widest cell, two blanks between them, indented by two. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map((row) => row.map(printable))
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return all
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('')
}

/** Text of others over several lines, harmless for a terminal. */
export function printableLines(text: string): string[] {
  return text.split(/\r?\n/).map(printable)
}

/**
 * The calls of a stack, without its message and without the gateway's own: who reads it looks for the place in the
 * plugin. A stack of nothing else is of a mistake of ours, and shown as it is.
 */
export function callsOf(stack: string, max: number): string[] {
  const calls = allCallsOf(stack)
  const others = calls.filter((call) => !call.includes(packageFolder) && !call.includes('node:internal/'))
  return (others.length === 0 ? calls : others).slice(0, max)
}

/** The calls in files that the plugin's author wrote: none of the gateway's, Node's, or a library's. */
export function ownCallsOf(stack: string, max: number): string[] {
  const isOthers = (call: string): boolean =>
    call.includes(packageFolder) ||
    call.includes(`${sep}node_modules${sep}`) ||
    / \(bundled\):|[ (]node:|<anonymous>|\(native\)/.test(call)
  return allCallsOf(stack)
    .filter((call) => !isOthers(call))
    .slice(0, max)
}

function allCallsOf(stack: string): string[] {
  return printableLines(stack).flatMap((line) => (/^\s+at /.test(line) ? [line.trim()] : []))
}

export function plural(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? '' : 's'}`
}

export function countText(count: number): string {
  return count.toLocaleString('en-US')
}

/** `0.1 ms`, `42 ms`, `1,204 ms`. */
export function millisecondsText(ms: number): string {
  return `${ms < 9.95 ? ms.toFixed(1) : countText(Math.round(ms))} ms`
}

export function bytesText(bytes: number): string {
  return `${countText(Math.round(bytes / 1024 / 1024))} MB`
}

const AGES: readonly (readonly [unit: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
]

/** `12 s ago`, `3 min ago`; both are Unix times in milliseconds. Clocks may be set back: `just now` is the least. */
export function agoText(at: number, now: number): string {
  const age = durationText(now - at)
  return age === null ? 'just now' : `${age} ago`
}

/** In its largest unit, down to seconds; null below one. */
function durationText(ms: number): string | null {
  for (const [unit, unitMs] of AGES) if (ms >= unitMs) return `${Math.floor(ms / unitMs)} ${unit}`
  return null
}
