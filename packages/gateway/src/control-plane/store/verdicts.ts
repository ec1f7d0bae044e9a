import { firstCause } from '../../protocol/control.ts'
import type { StoredGeneration } from './types.ts'

/** What a generation says of a version of a plugin. */
export interface Verdict {
  /** The plugin's name. */
  readonly plugin: string
  readonly contentHash: string
  /** It was taken back on its probation, or ran quarantined; false: somebody asked for it all the same. */
  readonly hasFailed: boolean
}

/**
 * In order: of two on one version the last one counts.
 *
 * @param previous the generation before, as far as it is kept
 */
export function verdictsOf(
  { cause: asRecorded, plugins, controls }: StoredGeneration,
  previous: StoredGeneration | undefined,
): Verdict[] {
  const verdicts: Verdict[] = []
  const cause = firstCause(asRecorded)
  if (cause.kind === 'probation') {
    // The generation before that may have been pruned: what is before it here need not be what failed.
    const taken = cause.failed ?? contentOf(cause.plugin, previous)
    if (taken !== undefined) verdicts.push({ plugin: cause.plugin, contentHash: taken, hasFailed: true })
  }
  if (cause.kind === 'reload' || cause.kind === 'enable') {
    const runs = plugins.find(({ name }) => name === cause.plugin)
    if (runs !== undefined)
      verdicts.push({ plugin: runs.name, contentHash: runs.contentHash, hasFailed: false })
  }
  for (const quarantine of controls.quarantined) {
    const runs = plugins.find(({ name }) => name === quarantine.plugin)
    if (runs === undefined || runs.codeHash !== quarantine.codeHash) continue
    verdicts.push({ plugin: runs.name, contentHash: runs.contentHash, hasFailed: true })
  }
  return verdicts
}

function contentOf(plugin: string, record: StoredGeneration | undefined): string | undefined {
  return record?.plugins.find(({ name }) => name === plugin)?.contentHash
}

/**
 * The numbers of generations that must be kept besides `kept`: what one of those ran or said that was kept for long counts
 * by what was said of it last, which may be in a younger one that would go.
 *
 * @param records all there are, ascending
 */
export function verdictsToKeep(
  records: readonly StoredGeneration[],
  kept: ReadonlySet<number>,
): ReadonlySet<number> {
  const wanted = new Set<number>()
  const last = new Map<string, StoredGeneration>()
  const said = new Map<number, readonly Verdict[]>()
  for (const [index, record] of records.entries()) {
    const verdicts = verdictsOf(record, records[index - 1])
    if (verdicts.length === 0) continue
    said.set(record.number, verdicts)
    for (const { contentHash } of verdicts) last.set(contentHash, record)
  }
  if (last.size === 0) return wanted
  const open = records.filter(({ number }) => kept.has(number))
  // It grows: of what is kept for its verdict the same holds.
  for (const record of open) {
    for (const { contentHash } of [...record.plugins, ...(said.get(record.number) ?? [])]) {
      const judging = last.get(contentHash)
      if (judging === undefined || judging.number <= record.number) continue
      if (kept.has(judging.number) || wanted.has(judging.number)) continue
      wanted.add(judging.number)
      open.push(judging)
    }
  }
  return wanted
}
