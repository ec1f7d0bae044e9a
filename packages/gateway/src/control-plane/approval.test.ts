import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HeldLoss } from '../protocol/control.ts'
import { approvedOf, heldIdOf } from './approval.ts'
import type { Pending } from './pending-changes.ts'

const lossTo = (to: string): HeldLoss => ({
  kind: 'loss',
  route: 'api',
  to,
  plugin: 'auth',
  instead: null,
  reason: `its requests now go to route "${to}"`,
})
const held = (...losses: readonly HeldLoss[]): Pending =>
  ({ report: { held: losses, heldId: heldIdOf(losses) } }) as unknown as Pending

test('heldIdOf() is short, the same for the same losses, and for no others', () => {
  const id = heldIdOf([lossTo('a'), lossTo('b')])
  assert.match(String(id), /^[0-9a-f]{8}$/)
  assert.equal(heldIdOf([lossTo('a'), lossTo('b')]), id)
  assert.equal(heldIdOf([]), null)
  const more = (digest: string): HeldLoss[] => [lossTo('a'), { kind: 'more', count: 1, digest }]
  const unknown = (digest: string): HeldLoss[] => [{ kind: 'unknown', reason: 'it is lost', digest }]
  const all = [
    [lossTo('a')],
    [lossTo('b'), lossTo('a')],
    [lossTo('a'), lossTo('c')],
    [{ ...lossTo('a'), reason: 'another' }, lossTo('b')] as HeldLoss[],
    more('01'),
    more('02'),
    unknown('01'),
    unknown('02'),
  ]
  assert.equal(new Set([id, ...all.map(heldIdOf)]).size, all.length + 1)
})

test('approvedOf() is what has the id, or without one the newest', () => {
  const [newest, older] = [held(lossTo('a')), held(lossTo('b'))]
  assert.equal(approvedOf([newest, older], undefined), newest)
  assert.equal(approvedOf([newest, older], newest.report.heldId ?? ''), newest)
  assert.equal(approvedOf([newest, older], older.report.heldId ?? ''), older)
})

test('approvedOf() refuses another id, and says what is held now and what it is called', () => {
  const many = held(...['a', 'b', 'c', 'd'].map(lossTo), { kind: 'more', count: 7, digest: '01' })
  const other = held(lossTo('x'))
  assert.throws(() => approvedOf([many, other], '3f9a1c2b'), {
    code: 'APPROVAL_OUTDATED',
    message:
      `Cannot approve 3f9a1c2b: what is held now is ${many.report.heldId} (` +
      ['a', 'b', 'c']
        .map((to) => `route api would lose security plugin "auth", its requests now go to route "${to}"`)
        .join('; ') +
      `; and 8 more) and ${other.report.heldId} (route api would lose security plugin "auth", its requests now go to ` +
      `route "x"). Look at it with "cardea status"; if it is meant, run "cardea approve ${many.report.heldId}".`,
  })
  for (const id of [undefined, '3f9a1c2b']) {
    assert.throws(() => approvedOf([], id), { code: 'NOTHING_HELD' })
  }
})
