import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff'

/** Lines that stay, around each place that differs; as diff and git have it. */
const CONTEXT_LINES = 3

/**
 * Differences at which the search for the shortest diff is given up: its time grows with their square (measured: 0.2 s
 * for a thousand, 4 s for four thousand), and the supervisor does nothing else meanwhile. Texts that differ by more are
 * shown as one replaced by the other.
 */
const EDITS_MAX = 1_000

/** A unified diff with its two file lines, '' when the texts are equal. Lines end with the text's own line breaks. */
export function unifiedDiff(fromName: string, fromText: string, toName: string, toText: string): string {
  if (fromText === toText) return ''
  const options = {
    context: CONTEXT_LINES,
    headerOptions: FILE_HEADERS_ONLY,
    maxEditLength: EDITS_MAX,
  }
  const patch = createTwoFilesPatch(fromName, toName, fromText, toText, undefined, undefined, options)
  return patch ?? replacement(fromName, fromText, toName, toText)
}

function replacement(fromName: string, fromText: string, toName: string, toText: string): string {
  const removed = linesOf(fromText)
  const added = linesOf(toText)
  const head = `--- ${fromName}\n+++ ${toName}\n@@ -1,${removed.length} +1,${added.length} @@\n`
  return head + marked('-', removed) + marked('+', added)
}

function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

function marked(mark: '-' | '+', lines: readonly string[]): string {
  const end = '\\ No newline at end of file\n'
  return lines.map((line) => `${mark}${line}${line.endsWith('\n') ? '' : `\n${end}`}`).join('')
}
