import { waitFor } from './wait-for.ts'

export type LogLine = Readonly<Record<string, unknown>>

/** The complete lines of a gateway's stderr. Throws when one is not JSON. */
export function logLines(stderr: string): LogLine[] {
  const lines = stderr.split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as LogLine)
}

/** Resolves with the first log line whose message matches. */
export async function logged(source: { readonly stderr: string }, message: RegExp): Promise<LogLine> {
  return waitFor(
    () => logLines(source.stderr).find((line) => message.test(String(line.message))),
    `the log line ${message}`,
  )
}

/** Waits for what is written from now on; resolves with what matches, at whatever place of whatever line. */
export function sayings(source: { readonly stderr: string }): (said: RegExp) => Promise<string> {
  const from = source.stderr.lastIndexOf('\n') + 1
  return async (said) => {
    try {
      const [found] = await waitFor(() => said.exec(source.stderr.slice(from)), `${said}`)
      return found
    } catch (cause) {
      throw new Error(`${said} is not in the log, which says:\n${source.stderr.slice(from)}`, { cause })
    }
  }
}
