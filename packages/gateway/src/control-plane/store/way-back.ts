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
  /** All that it is made of is kept. */
  isWhole(record: StoredGeneration): boolean
  /** Content hashes of the versions of a plugin that failed at run time. */
  failed(plugin: string): ReadonlySet<string>
}

/** Its number; null for none. One that cannot be read may be it: nobody knows what it was. */
export function generationBefore(live: StoredGeneration, kept: KeptGenerations): number | null {
  let next = numberBefore(live, kept)
  // What it has the content of may hold back what it does not: a rollback has no pins but its own.
  const holding = [live, kept.get(origin(live, kept)) ?? live]
  while (next !== null) {
    const record = kept.get(next)
    if (record === undefined) return next
    if (kept.isWhole(record) && isWayBack(record, live, holding, kept)) return next
    next = numberBefore(record, kept)
  }
  return null
}

/** Its own, or that of the generation whose content it has: all in between is what was gone back from. */
function origin(record: StoredGeneration, kept: KeptGenerations): number {
  const { number, cause, backTo } = record
  const to = backTo ?? (cause.kind === 'rollback' ? cause.generation : number)
  const made = to < number ? kept.get(to) : undefined
  return made === undefined ? to : origin(made, kept)
}

function numberBefore(record: StoredGeneration, kept: KeptGenerations): number | null {
  const below = origin(record, kept)
  return kept.numbers.findLast((known) => known < below) ?? null
}

/** Whether it does something else than what serves, and nothing that somebody, or the gateway itself, went away from. */
function isWayBack(
  record: StoredGeneration,
  live: StoredGeneration,
  holding: readonly StoredGeneration[],
  kept: KeptGenerations,
): boolean {
  if (contentOf(record) === contentOf(live)) return false
  const serving = new Set(live.plugins.map(({ contentHash }) => contentHash))
  return record.plugins
    .filter(({ contentHash }) => !serving.has(contentHash))
    .every((plugin) => !holding.some((one) => isRejected(plugin, one)) && !hasFailed(plugin, live, kept))
}

/**
 * Equal for generations that are made of the same; what was made anew or quarantined in one of them is no difference, nor is where
 * folders stood: the whole gateway may have been moved since.
 */
function contentOf({ config, plugins, controls }: StoredGeneration): string {
  const versions = plugins.map(({ contentHash }) => contentHash)
  return JSON.stringify([fingerprintOfConfig(config), versions.toSorted(), controls.disabled])
}

/** That generation holds its files back, in whatever folder they stood: one plugin was rolled back alone. */
export function isRejected({ fingerprint, contentHash }: StoredPlugin, { pins }: StoredGeneration): boolean {
  return pins.some(
    ({ rejected, rejectedContent }) => rejected === fingerprint || rejectedContent === contentHash,
  )
}

function hasFailed(plugin: StoredPlugin, { controls }: StoredGeneration, kept: KeptGenerations): boolean {
  const { name, codeHash, contentHash } = plugin
  if (kept.failed(name).has(contentHash)) return true
  return controls.quarantined.some((one) => one.plugin === name && one.codeHash === codeHash)
}
