import { parseText } from '../config/document.ts'
import { loadConfigFile } from '../config/load.ts'
import { readTextFile } from '../config/text-file.ts'
import type { LoadedConfig } from '../config/types.ts'

/**
 * What a start goes by before anything is served. Where a mistake is in one of them, fewer are read: to listen elsewhere, or on
 * addresses that nobody named, would be worse than any of the others.
 */
const START_KEYS = [
  ['listen', 'workers', 'log', 'limits', 'timeouts'],
  ['listen', 'workers'],
  ['listen'],
] as const

/** A config of the keys that a start goes by, out of a file that has mistakes elsewhere; null when they cannot be had. */
export async function loadStartKeys(file: string): Promise<LoadedConfig | null> {
  const text = await readTextFile(file).catch(() => '')
  const document = parseText(text, file)
  const value = document.ok ? document.parsed.value : null
  if (typeof value !== 'object' || value === null || !('listen' in value)) return null
  const written = Object.entries(value)
  for (const keys of START_KEYS) {
    const kept = written.filter(([key]) => (keys as readonly string[]).includes(key))
    // JSON is YAML too.
    const part = JSON.stringify(Object.fromEntries(kept))
    const readFile = (path: string): Promise<string> =>
      path === file ? Promise.resolve(part) : readTextFile(path)
    const loaded = await loadConfigFile(file, { readFile })
    if (loaded.ok) return loaded.config
  }
  return null
}
