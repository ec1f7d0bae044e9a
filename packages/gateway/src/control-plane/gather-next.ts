import { GatewayError } from '../base/errors.ts'
import { CHANGE_LIMITS } from '../config/limits.ts'
import type { ChangeGround, ChangeRequest } from './change.ts'
import { failedByThrow } from './change-result.ts'
import {
  type Candidate,
  type GatherOptions,
  gather,
  gatherLive,
  isHeldAsRead,
  type Overlay,
} from './gather.ts'
import { NO_OVERLAY } from './recollect.ts'
import { recordOf } from './record.ts'
import type { StoredGeneration } from './store/types.ts'

/**
 * The generation that a change asks for: of the files on disk, or of what serves. Throws ChangeFailed, and once the signal is
 * aborted its reason.
 */
export async function gatherNext(
  request: ChangeRequest,
  ground: ChangeGround,
  signal: AbortSignal,
): Promise<Candidate> {
  const live = ground.store.latest()
  if (live === null || !isOnLive(request, ground)) return gatherFiles(request, ground, signal)
  try {
    return await gatherOnLive(request, ground, live, signal).catch(async (thrown: unknown) => {
      if (!(await isMended(thrown, live, ground))) throw thrown
      return gatherOnLive(request, ground, live, signal)
    })
  } catch (thrown) {
    throw failedByThrow('config', null, thrown)
  }
}

/** Again where somebody renamed what is held back meanwhile; not for ever, for the next look at the files follows. */
async function gatherFiles(
  request: ChangeRequest,
  ground: ChangeGround,
  signal: AbortSignal,
): Promise<Candidate> {
  for (let repeat = 0; ; repeat++) {
    const options = optionsOf(request, ground, signal)
    const candidate = await gather(ground, options)
    if (repeat === CHANGE_LIMITS.repeatsMax || (await isHeldAsRead(ground, options, candidate)))
      return candidate
  }
}

async function gatherOnLive(
  request: ChangeRequest,
  ground: ChangeGround,
  live: StoredGeneration,
  signal: AbortSignal,
): Promise<Candidate> {
  const options = optionsOf(request, ground, signal)
  const candidate = await gatherLive(ground, live, options)
  if (ground.reference !== null) options.lifecycle.inherit(ground.reference.candidate.lifecycle)
  return candidate
}

/** A stored file of what serves is damaged: that must be in no command's way, since all of it is in memory. */
async function isMended(thrown: unknown, live: StoredGeneration, ground: ChangeGround): Promise<boolean> {
  const { reference, store, log } = ground
  const isDamage = thrown instanceof GatewayError && thrown.code === 'STORE_DAMAGED'
  if (!isDamage || reference?.candidate.plan.number !== live.number) return false
  // Another generation's file may be what is damaged, of a version that is to be brought back.
  if (!(await store.mendLatest(recordOf(reference.candidate, live, ground).blobs))) return false
  log.warn(`What generation ${live.number} is made of was stored anew, from memory: ${thrown.message}`)
  return true
}

function optionsOf(
  { edit, filesOf }: ChangeRequest,
  ground: ChangeGround,
  signal: AbortSignal,
): GatherOptions {
  const number = ground.store.nextNumber()
  return { number, overlay: overlayOf(ground), edit, filesOf, lifecycle: ground.newLifecycle(), signal }
}

/** Whether it is made of what serves. As long as nothing does, there are only the files. */
export function isOnLive(
  { base }: ChangeRequest,
  { store, isServing }: Pick<ChangeGround, 'store' | 'isServing'>,
): boolean {
  return base === 'live' && isServing && store.latest() !== null
}

/** What commands have laid over the files so far. */
export function overlayOf({ reference, former }: Pick<ChangeGround, 'reference' | 'former'>): Overlay {
  return former?.overlay ?? reference?.candidate.overlay ?? NO_OVERLAY
}
