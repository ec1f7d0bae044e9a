import { createHash } from 'node:crypto'
import { GatewayError } from '../base/errors.ts'
import type { ChangeCause, ChangeReport, HeldLoss } from '../protocol/control.ts'
import { canonicalJson } from './canonical-json.ts'
import type { Pending } from './pending-changes.ts'

/**
 * What somebody approves is the losses that they were shown, and no others: the id is made of all of them, and the same
 * whenever they are. What else is different, and loses nothing, goes live with them as it would by itself.
 */

/** Enough to tell apart what is held one after another; whoever may write these files need not make two alike. */
const ID_LENGTH = 8
const LOSSES_TOLD_MAX = 3

/** Null for none. */
export function heldIdOf(losses: readonly HeldLoss[]): string | null {
  return losses.length === 0 ? null : digestOf(losses).slice(0, ID_LENGTH)
}

export function digestOf(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex')
}

/**
 * What an approval means of that which is held, newest first: what has this id, or without one the newest.
 *
 * @throws GatewayError NOTHING_HELD, APPROVAL_OUTDATED
 */
export function approvedOf(held: readonly Pending[], heldId: string | undefined): Pending {
  const [newest] = held
  if (newest === undefined) {
    throw new GatewayError('NOTHING_HELD', 'Nothing is held, so there is nothing to approve.')
  }
  if (heldId === undefined) return newest
  const meant = held.find(({ report }) => report.heldId === heldId)
  if (meant !== undefined) return meant
  const others = held.map(({ report }) => `${report.heldId} (${lossesText(report)})`).join(' and ')
  throw new GatewayError(
    'APPROVAL_OUTDATED',
    `Cannot approve ${heldId}: what is held now is ${others}. Look at it with "cardea status"; ` +
      `if it is meant, run "cardea approve ${newest.report.heldId}".`,
  )
}

/** Why a change that had this cause is made then. */
export function approvalOf(cause: ChangeCause): ChangeCause {
  return cause.kind === 'approve' ? cause : { kind: 'approve', of: cause }
}

function lossesText({ held }: ChangeReport): string {
  const told = held.slice(0, LOSSES_TOLD_MAX).map(lossText)
  const more = held
    .slice(LOSSES_TOLD_MAX)
    .reduce((sum, loss) => sum + (loss.kind === 'more' ? loss.count : 1), 0)
  return more === 0 ? told.join('; ') : `${told.join('; ')}; and ${more} more`
}

/** What would be lost, without the way out. */
export function lossText(loss: HeldLoss): string {
  switch (loss.kind) {
    case 'unknown':
      return loss.reason
    case 'more':
      return `${loss.count} more losses`
    case 'loss':
      return `route ${loss.route} would lose security plugin "${loss.plugin}", ${loss.reason}`
  }
}
