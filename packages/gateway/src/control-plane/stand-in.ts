import { isDeepStrictEqual } from 'node:util'
import { CHANGE_LIMITS } from '../config/limits.ts'
import type { LostPlugin } from '../protocol/control.ts'
import type { ChangeGround, Reference } from './change.ts'
import type { Candidate } from './gather.ts'
import { findSecurityLosses } from './security-loss.ts'
import type { TrialStep } from './trial-process.ts'

/**
 * What served last, at a start whose trial goes on for long.
 *
 * Nobody is answered before something serves: with a plugin on disk that hangs, for as long as its start may take, although
 * what served last could serve at once. So that one stands in then, and the change is made anew beside it, like a save. Not
 * sooner: whoever edits files and starts the gateway expects those, not for a moment what was there before. And never at the
 * change's expense: workers have nothing else to do while the trial goes on, and where it ends before they have staged
 * what served last, the change goes on as if nothing had been.
 *
 * The price: for that time requests get what the files do not say any more. It is what they would get had the same been saved
 * into a running gateway, and it is told. But whoever puts a lock on a door before a start takes it for locked from the first
 * request on, and a message does not keep anybody out. So where some request would pass by a security plugin that the files
 * have for it, nothing stands in, and all wait for the trial. Other code or another config of the same plugin is no such
 * reason, as wherever losses are looked for: requests do meet it, as it was when the gateway served last. Nor does it stand in
 * with other listeners than those of the files, at which clients wait by then.
 */
export interface StandIn {
  readonly reference: Reference
  /** Resolves with whether it serves; never rejects. It does not begin to once the signal is aborted. */
  serve(missing: Missing, signal: AbortSignal): Promise<boolean>
}

/** What is not live meanwhile, and why. */
export interface Missing {
  /** What the trial is at; null where it has not come to a plugin. */
  readonly at: TrialStep | null
  /** What the files would change. */
  readonly changes: readonly string[]
}

/** For sentences: `plugin "auth"`, `has not ended PluginMain within 3,000 ms`. */
export function delayOf(at: TrialStep | null): {
  readonly who: string
  readonly subject: string
  readonly delay: string
} {
  const within = `within ${CHANGE_LIMITS.standInAfterMs.toLocaleString('en')} ms`
  if (at === null) return { who: 'trial', subject: 'the trial', delay: `has not come to a plugin ${within}` }
  const { instance, name } = at
  return { who: instance, subject: `plugin "${instance}"`, delay: `has not ended ${name} ${within}` }
}

/** What served last serves: the change has come to nothing, and is to be made anew. */
export class StoodIn extends Error {}

interface Attempt {
  readonly candidate: Candidate
  readonly changes: readonly string[]
  readonly ground: ChangeGround
}

/** Throws what the trial throws, and StoodIn. */
export async function orStandIn(
  trial: (signal: AbortSignal) => Promise<void>,
  { candidate, changes, ground }: Attempt,
  signal: AbortSignal,
): Promise<void> {
  const { standIn, trials } = ground
  if (standIn === null) return trial(signal)
  const giveUp = new AbortController()
  const trying = trial(AbortSignal.any([signal, giveUp.signal]))
  const over = trying.catch(() => {})
  if ((await isOverWithin(over, CHANGE_LIMITS.standInAfterMs)) || !mayStandIn(standIn, candidate, ground)) {
    return trying
  }
  const late = new AbortController()
  void over.then(() => late.abort())
  if (!(await standIn.serve({ at: trials.at, changes }, late.signal))) return trying
  giveUp.abort()
  await over
  throw new StoodIn('What served last stands in')
}

async function isOverWithin(over: Promise<void>, timeoutMs: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, timeoutMs, false)
  try {
    return await Promise.race([over.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

function mayStandIn({ reference }: StandIn, candidate: Candidate, ground: ChangeGround): boolean {
  const { subject, delay } = delayOf(ground.trials.at)
  const { number, settings } = reference.candidate.plan
  if (!isDeepStrictEqual(settings.listeners, candidate.plan.settings.listeners)) {
    ground.log.warn(
      `Nothing is served yet: ${subject} ${delay}, and generation ${number}, which served last, had other listeners: who ` +
        'waits at those of the files would be cut off',
    )
    return false
  }
  const loss = lossWith(reference, candidate, ground)
  if (loss === null) return true
  ground.log.warn(
    `Nothing is served yet: ${subject} ${delay}, and with generation ${number}, which served last, requests of route ` +
      `"${loss.route}" would pass by security plugin "${loss.plugin}", which the files have there`,
  )
  return false
}

/** Seen from the files, which nobody has approved of doing without: `name: false` in what served last says nothing of them. */
function lossWith(
  { candidate: last }: Reference,
  { plan }: Candidate,
  { findMoves }: ChangeGround,
): LostPlugin | null {
  const losses = findSecurityLosses({
    reference: plan,
    candidate: last.plan,
    optOuts: new Map(),
    moves: findMoves(plan.routes, last.plan.routes),
    idle: last.idle,
  })
  for (const loss of losses) return loss
  return null
}
