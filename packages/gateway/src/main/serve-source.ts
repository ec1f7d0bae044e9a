import { dirname } from 'node:path'
import { readTextFile } from '../config/text-file.ts'
import type { ServeSource } from '../protocol/master-supervisor.ts'

/** The gateway's folder: where `.cardea/` and `logs/` are. */
export function directoryOf(source: ServeSource): string {
  return source.kind === 'file' ? dirname(source.file) : source.directory
}

/** The text of the config on disk, or null when there is no file, or none that can be read. */
export async function configText(source: ServeSource): Promise<string | null> {
  if (source.kind === 'target') return null
  try {
    return await readTextFile(source.file)
  } catch {
    return null
  }
}
