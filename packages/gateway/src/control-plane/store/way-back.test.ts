import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generationOf, pluginFor } from './test-support.ts'
import type { StoredGeneration } from './types.ts'
import { generationBefore } from './way-back.ts'

const A = pluginFor('hello', '1.0.0')
const B = pluginFor('hello', '2.0.0')
const C = pluginFor('hello', '3.0.0')
const D = pluginFor('hello', '4.0.0')

type Rest = Partial<StoredGeneration> & { readonly text?: string }
type Plugin = typeof A

const saved = (number: number, plugin: Plugin, rest: Rest = {}): StoredGeneration =>
  generationOf(number, [plugin], { cause: { kind: 'files', files: [] }, ...rest }).record

const back = (number: number, plugin: Plugin, generation: number, rest: Rest = {}): StoredGeneration =>
  saved(number, plugin, { cause: { kind: 'rollback', generation }, ...rest })

/** What a rollback of the last of them goes to. `unreadable`: kept all the same. `pruned`: versions that are not. */
function before(
  generations: readonly StoredGeneration[],
  failed: readonly Plugin[] = [],
  unreadable: readonly number[] = [],
  pruned: readonly Plugin[] = [],
): number | null {
  const records = new Map(generations.map((record) => [record.number, record]))
  const live = generations.at(-1) ?? assert.fail('none')
  return generationBefore(live, {
    numbers: [...records.keys(), ...unreadable].toSorted((a, b) => a - b),
    get: (number) => records.get(number),
    isWhole: ({ plugins }) => !pruned.some(({ plugin }) => plugins.includes(plugin)),
    failed: (name) => new Set(name === 'hello' ? failed.map(({ plugin }) => plugin.contentHash) : []),
  })
}

const rejecting = ({ plugin }: Plugin): Rest => ({
  pins: [
    {
      unit: plugin.folder,
      name: plugin.name,
      rejected: plugin.fingerprint,
      runs: { kind: 'plugin', contentHash: A.plugin.contentHash },
      since: 0,
      who: 'ada',
    },
  ],
})

const quarantining = ({ plugin: { name, codeHash } }: Plugin): Rest => ({
  cause: { kind: 'quarantine', plugin: name },
  controls: {
    disabled: [],
    incarnations: {},
    quarantined: [{ plugin: name, codeHash, key: 'key', harm: 'stall' }],
  },
})

test('generationBefore() is the one before', () => {
  assert.equal(before([saved(1, A), saved(2, B)]), 1)
  assert.equal(before([saved(1, A), saved(2, A, { text: 'routes: [] # other\n' })]), 1)
  assert.equal(before([saved(1, A)]), null)
})

test('generationBefore() goes on to what was before that after a rollback, and never to what was gone back from', () => {
  const three = [saved(1, A), saved(2, B), saved(3, C)]
  assert.equal(before([...three, back(4, B, 2)]), 1)
  assert.equal(before([...three, back(4, B, 2), back(5, A, 1)]), null)
  assert.equal(before([saved(1, A), saved(2, B), back(3, A, 1)]), null)
  // Whose word it took is no matter, nor whether the generation that it went to is still kept.
  assert.equal(before([...three, saved(4, B, { cause: { kind: 'approve' }, backTo: 2 })]), 1)
  assert.equal(before([saved(1, A), saved(3, C), back(4, B, 2)]), 1)
  // Forward again, on purpose.
  assert.equal(before([saved(1, A), saved(2, B), back(3, A, 1), back(4, B, 2)]), 1)
  // What came after it is as good as any.
  assert.equal(before([saved(1, A), saved(2, B), back(3, A, 1), saved(4, C)]), 3)
})

test('generationBefore() passes over what is the same: made anew, quarantined, started again', () => {
  const reload: Rest = {
    cause: { kind: 'reload', plugin: 'hello' },
    controls: { disabled: [], incarnations: { hello: 1 }, quarantined: [] },
  }
  assert.equal(before([saved(1, A), saved(2, B), saved(3, B, reload)]), 1)
  assert.equal(before([saved(1, A), saved(2, B), saved(3, B, quarantining(B))]), 1)
  assert.equal(before([saved(1, A), saved(2, B), back(3, A, 1), saved(4, A, reload)]), null)
})

test('generationBefore() passes over what is the same in other folders: those of a gateway that was moved', () => {
  const moved = { ...B, plugin: { ...B.plugin, folder: '/elsewhere/plugins/hello' } }
  assert.equal(before([saved(1, A), saved(2, B), saved(3, moved)]), 1)
})

test('generationBefore() brings back no version that failed, was quarantined, or is held back', () => {
  const takenBack: Rest = { cause: { kind: 'probation', plugin: 'hello', version: '1.0.0' } }
  assert.equal(before([saved(1, A), saved(2, B), saved(3, A, takenBack)], [B]), null)
  assert.equal(before([saved(1, A), saved(2, B), saved(3, C, quarantining(B))]), 1)
  assert.equal(before([saved(1, A), saved(2, B), saved(3, A, rejecting(B))]), null)
  // What serves runs it: the change that is undone is another one.
  assert.equal(before([saved(1, A), saved(2, B), saved(3, B, { text: 'routes: [] # other\n' })], [B]), 2)
})

test('generationBefore() brings back no version that is held back in a folder of another name by now', () => {
  const moved = { ...B, plugin: { ...B.plugin, folder: '/srv/plugins/greeting' } }
  const alone: Rest = {
    cause: { kind: 'plugin-rollback', plugin: 'hello', version: '1.0.0' },
    ...rejecting(B),
  }
  const history = [saved(1, A), saved(2, B), saved(3, A, alone), saved(4, A, rejecting(moved))]
  assert.equal(before(history), null)
})

test('generationBefore() brings back no version that is held back, though a comment was changed in its files before', () => {
  const [pin] = rejecting(B).pins ?? []
  assert.ok(pin)
  const commented = { ...pin, rejected: 'files with a comment', rejectedContent: B.plugin.contentHash }
  assert.equal(before([saved(1, A), saved(2, B), saved(3, A, { pins: [commented] })]), null)
})

test('generationBefore() is one that cannot be read, where that may have been it', () => {
  assert.equal(before([saved(1, A), saved(3, B)], [], [2]), 2)
  assert.equal(before([saved(1, A), saved(3, B), back(4, A, 1)], [], [2]), null)
})

test('generationBefore() goes on from what a rollback went back to, however many of them lie between', () => {
  const history = [saved(1, A), saved(2, B), saved(3, C), back(4, B, 2), saved(5, D)]
  assert.equal(before([...history, back(6, B, 4)]), 1)
  assert.equal(before([...history, back(6, B, 4, { cause: { kind: 'approve' }, backTo: 4 })]), 1)
})

test('generationBefore() passes over what the generation held back that was gone back to', () => {
  const history = [saved(1, D), saved(2, B), saved(3, A, rejecting(B)), saved(4, C)]
  assert.equal(before([...history, back(5, A, 3)]), 1)
})

test('generationBefore() passes over what is not whole any more', () => {
  const three = [saved(1, A), saved(2, B), saved(3, C)]
  assert.equal(before(three, [], [], [B]), 1)
  assert.equal(before(three, [], [], [A, B]), null)
  assert.equal(before([...three, back(4, B, 2), saved(5, D)], [], [], [B]), 1)
})
