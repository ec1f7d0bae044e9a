import { isDeepStrictEqual } from 'node:util'
import { planSettings } from '../config/plan.ts'
import type { HeldLoss } from '../protocol/control.ts'
import { digestOf } from './approval.ts'
import type { ChangeGround } from './change.ts'
import { changesOf } from './change-account.ts'
import { ChangeHeld } from './change-result.ts'
import type { Candidate } from './gather.ts'
import { type Former, numbered } from './recollect.ts'
import {
  findSecurityLosses,
  listedLosses,
  optOutsOf,
  type RouteMove,
  type SecurityOutline,
} from './security-loss.ts'

/** What a change would make of what serves. */
export interface Comparison {
  readonly changes: readonly string[]
  /** What would be lost, with somebody's approval. */
  readonly held: readonly HeldLoss[]
}

/** Null when the candidate does the same. Throws ChangeHeld when it loses what was not approved. */
export function compare(
  candidate: Candidate,
  ground: ChangeGround,
  approved: readonly HeldLoss[],
): Comparison | null {
  if (isSame(candidate, ground)) return null
  const changes = changesOf(candidate, ground)
  return { changes, held: refuseLosses(candidate, ground, approved, changes) }
}

function isSame(candidate: Candidate, { reference, former }: ChangeGround): boolean {
  if (reference === null || former !== null) return false
  return isDeepStrictEqual(essenceOf(candidate), essenceOf(reference.candidate))
}

/** Equal for candidates that do the same. */
function essenceOf({ plan, overlay }: Candidate): unknown {
  return { ...plan, number: 0, bundles: 0, overlay }
}

/** Returns the losses that were approved. Throws ChangeHeld for others. */
export function refuseLosses(
  candidate: Candidate,
  ground: ChangeGround,
  approved: readonly HeldLoss[],
  changes: readonly string[],
): readonly HeldLoss[] {
  const losses = listedLosses(lossesOf(candidate, ground))
  // The word was for what was shown, each loss with its reason: the files may have been saved again since.
  if (losses.length > 0 && !isDeepStrictEqual(losses, approved)) throw new ChangeHeld(losses, changes)
  return losses
}

function lossesOf(candidate: Candidate, { reference, former, findMoves }: ChangeGround): Iterable<HeldLoss> {
  if (former?.outline === null)
    return [unknownLoss(former, candidate, 'cannot be read from .cardea/ any more')]
  const before: SecurityOutline | undefined = former?.outline ?? reference?.candidate.plan
  if (before === undefined) return []
  let moves: readonly RouteMove[]
  try {
    moves = findMoves(before.routes, candidate.plan.routes)
  } catch {
    // Those of the candidate are known to be sound: what served last is of a version that took routes which this one refuses.
    return [unknownLoss(before, candidate, 'has routes that this version of the gateway refuses')]
  }
  const optOuts = optOutsOf(planSettings(candidate.config))
  const losses = findSecurityLosses({
    reference: before,
    candidate: candidate.plan,
    optOuts,
    moves,
    idle: candidate.idle,
  })
  const madeOf = former?.madeOf ?? null
  if (madeOf === null) return losses
  const had = `generation ${before.number} of ${madeOf}, which served last in this folder, has it`
  return losses.map((loss) => ({ ...loss, reason: `${loss.reason}; ${had}` }))
}

/** `why`: what hinders, of the generation. */
function unknownLoss({ number }: Pick<Former, 'number'>, candidate: Candidate, why: string): HeldLoss {
  const what = `the generation that was committed last${numbered(number)}`
  const reason =
    `${what}, ${why}, so nothing tells which security plugins its routes had, ` +
    'and whether this one lacks some of them'
  return { kind: 'unknown', reason, digest: digestOf([essenceOf(candidate)]) }
}
