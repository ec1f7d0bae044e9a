import type { UnreadEntries } from '../config/types.ts'
import type { ReadPlugin } from './verify.ts'

/**
 * What could not be read of config and plugins, or not be compiled: what only seems wrong because of that is not told, and all
 * else is.
 */
export interface Gaps {
  /** Of the config. */
  readonly entries: UnreadEntries
  /** Names that a plugin may have of which nothing else is known. */
  readonly plugins: Pick<ReadonlySet<string>, 'has'>
  /** Names of plugins that are known, but have no code. */
  readonly code: ReadonlySet<string>
}

export const NO_GAPS: Gaps = { entries: new Map(), plugins: new Set(), code: new Set() }

/** `null`: any name may be one of them. */
export type PossibleNames = readonly string[] | null

/** What any of these may be called. */
export function allNames(names: readonly PossibleNames[]): PossibleNames {
  return names.includes(null) ? null : names.flatMap((some) => some ?? [])
}

/**
 * The plugins of `read` that something can be said of, and the gaps that others leave.
 *
 * @param unreadNames what others may be called; a plugin of `read` that shares its name with one of them is not known.
 * @param failed the folders of those that go no further.
 */
export function knownPlugins<Plugin extends ReadPlugin>(
  read: readonly Plugin[],
  unreadNames: PossibleNames,
  failed: ReadonlySet<string | null>,
): { readonly known: readonly Plugin[] } & Pick<Gaps, 'plugins' | 'code'> {
  const shared = new Set(unreadNames)
  const known = read.filter(({ manifest }) => !shared.has(manifest.name))
  const codeless = known.filter(({ manifest }) => failed.has(manifest.folder))
  return {
    known,
    plugins: unreadNames === null ? { has: () => true } : shared,
    code: new Set(codeless.map(({ manifest }) => manifest.name)),
  }
}
