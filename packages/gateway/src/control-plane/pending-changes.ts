import type { ChangeReport } from '../protocol/control.ts'
import type { ChangeRequest } from './change.ts'
import type { PluginLifecycle } from './lifecycle.ts'
import type { StoredThing } from './store/pruning.ts'

/** The change that is being made, as long as it can be given up. */
export interface CurrentChange {
  readonly request: ChangeRequest
  readonly startedAt: number
  readonly giveUp: AbortController
}

/** A change that did not go live, and why. */
export interface Pending {
  readonly request: ChangeRequest
  readonly report: ChangeReport
  /** How far its plugins came. */
  readonly lifecycle: PluginLifecycle
}

/** What has not gone live, and may still do so: by other files, or by somebody's word. */
export class PendingChanges {
  #files: Pending | null = null
  #asked: Pending | null = null

  /** The newest change of what stands on disk, when it failed or is held. */
  get files(): Pending | null {
    return this.#files
  }

  /** The newest change of what serves, when it is held. It is newer than that of the files. */
  get asked(): Pending | null {
    return this.#asked
  }

  /** What waits for somebody's word, newest first. */
  get held(): readonly Pending[] {
    return [this.#asked, this.#files].filter((change) => change !== null).filter(isHeld)
  }

  /** A change of what serves says nothing of what stands on disk. One that failed is for whoever asked to ask again. */
  noteLive(change: Pending): void {
    if (change.report.outcome === 'held') this.#asked = change
    // What somebody asked for waits for somebody's word, whatever the gateway decides meanwhile.
    else if (!isDecision(change.request)) this.#asked = null
  }

  /** Returns false where it says nothing of the files: a command that failed changes nothing of how they are held. */
  noteFiles(change: Pending): boolean {
    const { outcome } = change.report
    // Whoever gave it has been told.
    if (outcome === 'failed' && change.request.edit !== undefined) return false
    this.#files = outcome === 'failed' || outcome === 'held' ? change : null
    this.#asked = null
    return true
  }
}

function isHeld({ report }: Pending): boolean {
  return report.outcome === 'held'
}

/** What the gateway decides by itself. */
export function isDecision({ cause: { kind } }: Pick<ChangeRequest, 'cause'>): boolean {
  return kind === 'quarantine' || kind === 'probation' || kind === 'restart'
}

/** What these changes are to bring back. */
export function targetsOf(
  changes: readonly ({ readonly request: ChangeRequest } | null)[],
): ReadonlySet<StoredThing> {
  const requests = changes.flatMap((change) => change?.request ?? [])
  return new Set(requests.flatMap(({ backTo, runs }) => [backTo ?? [], runs ?? []].flat()))
}
