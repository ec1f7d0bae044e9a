import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

/** The names looked for when none is given, the first that is there counts. */
export const CONFIG_NAMES = ['cardea.yaml', 'cardea.yml', 'cardea.json'] as const

/** The absolute path of the config file in `directory`, or null. */
export function findConfig(directory: string): string | null {
  return CONFIG_NAMES.map((name) => resolve(directory, name)).find((file) => existsSync(file)) ?? null
}
