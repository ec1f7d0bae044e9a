import type { Log } from '@cardea/sdk'
import { CHANGE_LIMITS } from '../config/limits.ts'
import type { ChangeCause, ChangeWait } from '../protocol/control.ts'
import type { ChangeSettings } from '../protocol/generation.ts'
import { isDecision } from './pending-changes.ts'
import type { Workers } from './workers.ts'

export interface RoomOptions {
  readonly cause: ChangeCause
  readonly who: string
  /** Of what serves; null for nothing. */
  readonly settings: ChangeSettings | null
  readonly workers: Workers
  readonly log: Log
  /** Again and again while it lasts, and null at its end. */
  onWait(wait: ChangeWait | null): void
  /** Of the generation that would come; null when none would: the change is not good, is held, or changes nothing. */
  foresee(): Promise<ChangeSettings | null>
}

/**
 * A generation that streams still run on stays alive; past the bound the next one waits for the oldest. Throws the signal's
 * reason: nobody must wait for streams of others who has left, or saved something else.
 */
export async function awaitRoom(options: RoomOptions, signal: AbortSignal): Promise<void> {
  const { settings, workers, onWait } = options
  signal.throwIfAborted()
  // What is done against a plugin that fails must not wait for somebody's streams, and what is saved since not for that.
  if (settings === null || isDecision(options)) return
  const { generationsLiveMax } = settings
  if (workers.generationsLive < generationsLiveMax) return
  const next = await options.foresee()
  signal.throwIfAborted()
  if (needsNone(next, settings, workers)) return
  const { promise: aborted, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  const since = Date.now()
  let hasSaid = false
  try {
    while (workers.generationsLive >= generationsLiveMax) {
      const retired = workers.nextRetirement(CHANGE_LIMITS.roomPollMs)
      const wait = await Promise.race([waitOf(options, generationsLiveMax, since), aborted])
      signal.throwIfAborted()
      if (wait !== undefined) onWait(wait)
      if (!hasSaid && wait !== undefined) say(options.log, wait)
      hasSaid = true
      await Promise.race([retired, aborted])
      signal.throwIfAborted()
    }
  } finally {
    onWait(null)
  }
}

/** Whoever waits to hear that the files are broken hears it at once; and the settings that make room must not wait for it. */
function needsNone(next: ChangeSettings | null, settings: ChangeSettings, workers: Workers): boolean {
  if (next === null || workers.generationsLive < next.generationsLiveMax) return true
  return settings.streamDeadlineMs === 0 && next.streamDeadlineMs > 0
}

async function waitOf(
  { cause, who, workers }: RoomOptions,
  generationsLiveMax: number,
  since: number,
): Promise<ChangeWait> {
  const oldest = await workers.oldestGenerations()
  const generation = Math.min(...oldest.map(({ number }) => number))
  const streams = oldest.filter(({ number }) => number === generation).flatMap(({ oldest: first }) => first)
  // No worker may have answered just now.
  const known = Number.isFinite(generation) ? generation : null
  return { cause, who, since, generation: known, streams, generationsLiveMax }
}

function say(log: Log, { generationsLiveMax, streams }: ChangeWait): void {
  log.warn(
    `The change waits: ${generationsLiveMax} generations are alive, and streams still run on the oldest`,
    {
      streams,
    },
  )
}
