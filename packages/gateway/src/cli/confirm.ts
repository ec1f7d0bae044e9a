import { createInterface } from 'node:readline'

/** Asks whoever sits at the terminal; what is not a clear yes is a no. */
export type Confirm = (question: string) => Promise<boolean>

/** On stderr, since stdout is for the result. Null where nobody reads the question or can answer it. */
export function confirmOn(
  input: NodeJS.ReadableStream & { readonly isTTY?: boolean },
  output: NodeJS.WritableStream & { readonly isTTY?: boolean },
): Confirm | null {
  if (input.isTTY !== true || output.isTTY !== true) return null
  return (question) =>
    new Promise((resolve) => {
      // The terminal edits the line and makes Ctrl-C a signal, as for any other program.
      const lines = createInterface({ input, terminal: false })
      lines.once('line', (line) => {
        resolve(/^\s*y(es)?\s*$/i.test(line))
        lines.close()
      })
      lines.once('close', () => resolve(false))
      output.write(`${question} [y/N] `)
    })
}
