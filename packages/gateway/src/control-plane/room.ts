import type { Log } from '@cardea/sdk'
import { CHANGE_LIMITS } from '../config/limits.ts'
import type { ChangeCause, ChangeWait } from '../protocol/control.ts'
import type { Workers } from './workers.ts'

export interface RoomOptions {
  readonly cause: ChangeCause
  readonly who: string
  /** Generations that may be alive before the next one comes. */
  readonly generationsLiveMax: number
  readonly workers: Workers
  readonly log: Log
  /** Again and again while it lasts, and null at its end. */
  onWait(wait: ChangeWait | null): void
}

/**
 * A generation that streams still run on stays alive; past the bound the next one waits for the oldest. Throws the signal's
 * reason: nobody must wait for streams of others who has left, or saved something else.
 */
export async function awaitRoom(options: RoomOptions, signal: AbortSignal): Promise<void> {
  const { generationsLiveMax, workers, onWait } = options
  signal.throwIfAborted()
  if (workers.generationsLive < generationsLiveMax) return
  const { promise: aborted, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  const since = Date.now()
  let hasSaid = false
  try {
    while (workers.generationsLive >= generationsLiveMax) {
      const retired = workers.nextRetirement(CHANGE_LIMITS.roomPollMs)
      const wait = await Promise.race([waitOf(options, since), aborted])
      signal.throwIfAborted()
      if (wait !== undefined) onWait(wait)
      if (!hasSaid && wait !== undefined) say(options, wait)
      hasSaid = true
      await Promise.race([retired, aborted])
      signal.throwIfAborted()
    }
  } finally {
    onWait(null)
  }
}

async function waitOf(
  { cause, who, generationsLiveMax, workers }: RoomOptions,
  since: number,
): Promise<ChangeWait> {
  const oldest = await workers.oldestGenerations()
  const generation = Math.min(...oldest.map(({ number }) => number))
  const streams = oldest.filter(({ number }) => number === generation).flatMap(({ oldest: first }) => first)
  // No worker may have answered just now.
  const known = Number.isFinite(generation) ? generation : null
  return { cause, who, since, generation: known, streams, generationsLiveMax }
}

function say({ log, generationsLiveMax }: RoomOptions, { streams }: ChangeWait): void {
  log.warn(
    `The change waits: ${generationsLiveMax} generations are alive, and streams still run on the oldest`,
    {
      streams,
    },
  )
}
