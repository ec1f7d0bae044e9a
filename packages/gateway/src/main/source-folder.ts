import { dirname } from 'node:path'
import type { ServeSource } from '../protocol/master-supervisor.ts'

/** The gateway's folder: where `.cardea/` and `logs/` are. */
export function directoryOf(source: ServeSource): string {
  return source.kind === 'file' ? dirname(source.file) : source.directory
}
