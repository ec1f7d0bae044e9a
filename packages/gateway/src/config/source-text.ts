import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'

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

/** A source map as far as texts go. */
export interface MappedTexts {
  /** Relative to the folder. */
  readonly sources: readonly (string | null)[]
  readonly sourcesContent?: readonly (string | null)[] | undefined
}

/** The texts that code was made of, by the absolute paths of their files: those may have changed since. */
export function mappedTexts({ sources, sourcesContent }: MappedTexts, folder: string): Map<string, string> {
  return new Map(
    sources.flatMap((source, index) => {
      const text = sourcesContent?.[index]
      return source === null || typeof text !== 'string' ? [] : [[resolve(folder, source), text]]
    }),
  )
}
