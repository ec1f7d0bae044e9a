import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generationOf, pluginFor } from './test-support.ts'
import type { Pin, StoredGeneration } from './types.ts'
import { contentsBefore } from './version-before.ts'

type Rest = Partial<StoredGeneration> & { readonly text?: string }
type Plugin = ReturnType<typeof pluginFor>

const A = pluginFor('auth', '1.0.0')
const B = pluginFor('auth', '2.0.0')
const C = pluginFor('auth', '3.0.0')
const D = pluginFor('auth', '4.0.0')

const saved = (number: number, plugin: Plugin | null, rest: Rest = {}): StoredGeneration =>
  generationOf(number, plugin === null ? [] : [plugin], { cause: { kind: 'files', files: [] }, ...rest })
    .record

const back = (
  number: number,
  plugin: Plugin,
  kind: 'plugin-rollback' | 'probation' = 'plugin-rollback',
  name = 'auth',
): StoredGeneration =>
  saved(number, plugin, { cause: { kind, plugin: name, version: plugin.plugin.version } })

const allBack = (number: number, plugin: Plugin, generation: number): StoredGeneration =>
  saved(number, plugin, { cause: { kind: 'rollback', generation } })

const rejecting = ({ plugin }: Plugin, runs: Plugin): { readonly pins: readonly Pin[] } => {
  const { folder: unit, name, fingerprint: rejected } = plugin
  const { contentHash } = runs.plugin
  return { pins: [{ unit, name, rejected, runs: { kind: 'plugin', contentHash }, since: 0, who: 'ada' }] }
}

/** Versions before that of the last generation, the nearest first. */
function before(...records: readonly StoredGeneration[]): string {
  const versions = new Map([A, B, C, D].map(({ plugin }) => [plugin.contentHash, plugin.version.slice(0, 1)]))
  return contentsBefore('auth', records)
    .map((content) => versions.get(content))
    .join(' ')
}

const THREE = [saved(1, A), saved(2, B), saved(3, C)]

test('contentsBefore() goes by when versions ran, the last one first', () => {
  assert.equal(before(...THREE), '2 1')
  assert.equal(before(saved(1, A), saved(2, B), saved(3, A)), '2')
  assert.equal(before(saved(1, A)), '')
  assert.equal(before(), '')
  // It is gone, so that it runs what it ran last is the way back.
  assert.equal(before(saved(1, A), saved(2, B), saved(3, null)), '2 1')
})

test('contentsBefore() goes further back after a rollback, and never to what was gone back from', () => {
  assert.equal(before(...THREE, back(4, B)), '1')
  assert.equal(before(...THREE, back(4, B), back(5, A)), '')
  assert.equal(before(...THREE, back(4, A)), '')
  // By the gateway itself, of all plugins, or with somebody's approval: all of these are ways back.
  assert.equal(before(...THREE, back(4, B, 'probation')), '1')
  assert.equal(before(...THREE, allBack(4, B, 2)), '1')
  const cause = { kind: 'plugin-rollback', plugin: 'auth', version: '2.0.0' } as const
  assert.equal(before(...THREE, saved(4, B, { cause: { kind: 'approve', of: cause } })), '1')
  assert.equal(before(...THREE, saved(4, B, { cause: { kind: 'approve' }, backTo: 2 })), '1')
  // Of a plugin that was gone.
  assert.equal(before(...THREE, saved(4, null), back(5, C)), '2 1')
})

test('contentsBefore() stays where a rollback went as long as nothing else runs', () => {
  const twice = [...THREE, back(4, B)]
  assert.equal(before(...twice, saved(5, B, { text: 'routes: [] # other\n' })), '1')
  assert.equal(before(...twice, saved(5, B, { cause: { kind: 'disable', plugin: 'auth' } })), '1')
  assert.equal(before(...twice, saved(5, B, { cause: { kind: 'start' } })), '1')
  assert.equal(before(...twice, back(5, B, 'plugin-rollback', 'other')), '1')
  assert.equal(before(...twice, saved(5, null), saved(6, B)), '1')
})

test('contentsBefore() starts anew with what runs after a rollback: saved, released, or brought back on purpose', () => {
  assert.equal(before(...THREE, back(4, B), saved(5, D)), '2 1')
  assert.equal(before(...THREE, back(4, B), saved(5, D), back(6, B)), '1')
  assert.equal(before(...THREE, back(4, B), saved(5, C, { cause: { kind: 'release', unit: 'auth' } })), '2 1')
  assert.equal(before(...THREE, back(4, A), back(5, C)), '2 1')
  assert.equal(before(...THREE, back(4, A), back(5, B)), '1')
})

test('contentsBefore() ends, whatever came twice', () => {
  const back1 = [saved(1, A), saved(2, B), saved(3, A), saved(4, C), back(5, A)]
  assert.equal(before(...back1), '2')
  assert.equal(before(...back1, back(6, B)), '1')
  assert.equal(before(...back1, back(6, B), back(7, A)), '')
})

test('contentsBefore() passes over what is held back', () => {
  const [first, second] = [saved(1, C), saved(2, B)]
  const held = { ...back(4, B), ...rejecting(C, B) }
  assert.equal(before(first, second, saved(3, C), held), '')
  // Any other folder may have it by now.
  const elsewhere = { ...C, plugin: { ...C.plugin, folder: '/srv/plugins/moved' } }
  assert.equal(before(first, second, saved(3, C), { ...back(4, B), ...rejecting(elsewhere, B) }), '')
})

test('contentsBefore() goes no way forward where what was gone back to is not kept any more', () => {
  assert.equal(before(saved(3, C), back(4, B)), '')
  assert.equal(before(back(4, B)), '')
  assert.equal(before(saved(3, C), back(4, B), saved(5, D)), '2')
  assert.equal(before(saved(1, A), saved(3, C), allBack(4, B, 2)), '1')
})
