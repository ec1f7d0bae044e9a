import { readFileSync, statSync } from 'node:fs'

/** More than any file that a person wrote; a minified dependency needs no excerpt. */
const SOURCE_BYTES_MAX = 4 * 1024 * 1024

/** The text of a problem's file, for the excerpt that `renderProblems` shows; null when it cannot be had. */
export function sourceTextOf(file: string): string | null {
  try {
    const found = statSync(file)
    // Reading a pipe would not end.
    return found.isFile() && found.size <= SOURCE_BYTES_MAX ? readFileSync(file, 'utf8') : null
  } catch {
    return null
  }
}
