/** One step of a guide: a file that the reader writes, or commands that the reader runs. */
export type GuideStep =
  | { readonly kind: 'file'; readonly path: string; readonly text: string }
  | { readonly kind: 'commands'; readonly text: string }

const BLOCK = /(?:^`([\w./-]+)`\n\n)?^```(\w+)\n(.*?)^```$/gms

/**
 * The code blocks of a guide, in order: every one is a file that is named in the line above it, or a `sh` block. Throws an
 * Error on any other, for nothing would run it.
 */
export function stepsOf(markdown: string): GuideStep[] {
  return [...markdown.matchAll(BLOCK)].map(([, path, language, text = '']) => {
    if (language === 'sh') return { kind: 'commands', text }
    if (path === undefined) throw new Error(`This block names no file, so nothing runs it:\n${text}`)
    return { kind: 'file', path, text }
  })
}
