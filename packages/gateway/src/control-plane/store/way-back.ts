import { fingerprintOfConfig } from './fingerprint.ts'
import type { StoredGeneration, StoredPlugin } from './types.ts'

/**
 * Which generation is the one before, for somebody who wants to be rid of what serves. By number it would be what they
 * got rid of last: so it goes by content, and past what was gone back from.
 */

export interface KeptGenerations {
  /** Ascending; also of those that cannot be read. */
  readonly numbers: readonly number[]
  get(number: number): StoredGeneration | undefined
  /** Content hashes of the versions of a plugin that failed at run time. */
  failed(plugin: string): ReadonlySet<string>
}

/** Its number; null for none. One that cannot be read may be it: nobody knows what it was. */
export function generationBefore(live: StoredGeneration, kept: KeptGenerations): number | null {
  let next = numberBefore(live, kept)
  while (next !== null) {
    const record = kept.get(next)
    if (record === undefined || isWayBack(record, live, kept)) return next
    next = numberBefore(record, kept)
  }
  return null
}

/** What `generation` has the content of where that was a rollback: all in between is what was gone back from. */
function numberBefore({ number, cause, backTo }: StoredGeneration, kept: KeptGenerations): number | null {
  const below = backTo ?? (cause.kind === 'rollback' ? cause.generation : number)
  return kept.numbers.findLast((known) => known < below) ?? null
}

/** Whether it does something else than what serves, and nothing that somebody, or the gateway itself, went away from. */
function isWayBack(record: StoredGeneration, live: StoredGeneration, kept: KeptGenerations): boolean {
  if (contentOf(record) === contentOf(live)) return false
  const serving = new Set(live.plugins.map(({ contentHash }) => contentHash))
  return record.plugins
    .filter(({ contentHash }) => !serving.has(contentHash))
    .every((plugin) => !isRejected(plugin, live) && !hasFailed(plugin, live, kept))
}

/** Equal for generations that are made of the same; what was made anew or quarantined in one of them is no difference. */
function contentOf({ config, plugins, controls }: StoredGeneration): string {
  const versions = plugins.map(({ folder, contentHash }) => `${folder} ${contentHash}`)
  return JSON.stringify([fingerprintOfConfig(config), versions.toSorted(), controls.disabled])
}

/** What serves holds it back: one plugin was rolled back alone. */
function isRejected({ folder, fingerprint }: StoredPlugin, { pins }: StoredGeneration): boolean {
  return pins.some(({ unit, rejected }) => unit === folder && rejected === fingerprint)
}

function hasFailed(plugin: StoredPlugin, { controls }: StoredGeneration, kept: KeptGenerations): boolean {
  const { name, codeHash, contentHash } = plugin
  if (kept.failed(name).has(contentHash)) return true
  return controls.quarantined.some((one) => one.plugin === name && one.codeHash === codeHash)
}
