import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Overlay } from './gather.ts'
import {
  editPluginVersion,
  editRollback,
  editTakeBack,
  withoutQuarantine,
  withQuarantined,
} from './overlay-edits.ts'
import { NO_OVERLAY } from './recollect.ts'
import { type DiskState, fingerprintsOf, pinsThatHold } from './store/pins.ts'
import type { Pin, Quarantine, StoredGeneration, StoredPlugin } from './store/types.ts'

const FOLDER = '/site/plugins/watch'
const MOVED = '/site/plugins/moved'
const CONFIG = { kind: 'target', url: 'http://a', port: 1, directory: '/site' } as const

function version(number: number): StoredPlugin {
  return {
    name: 'watch',
    version: `${number}.0.0`,
    origin: 'user',
    folder: FOLDER,
    entryFile: `${FOLDER}/plugin.ts`,
    manifestHash: `manifest ${number}`,
    bundleHash: `bundle ${number}`,
    codeHash: `code ${number}`,
    contentHash: `content ${number}`,
    fingerprint: `files of ${number}`,
  }
}

function diskWith(number: number, folder = FOLDER): DiskState {
  const { name, fingerprint } = version(number)
  return { config: CONFIG, plugins: [{ folder, name, fingerprint, isIdle: false }] }
}

function serving(number: number, folder = FOLDER): StoredGeneration {
  return {
    number: 9,
    at: 0,
    cause: { kind: 'start' },
    who: 'gateway',
    changes: [],
    config: CONFIG,
    plugins: [{ ...version(number), folder }],
    controls: NO_OVERLAY.controls,
    pins: [],
  }
}

const holding = (pins: readonly Pin[], disk: DiskState): number =>
  pinsThatHold(pins, fingerprintsOf(disk)).length

test('editTakeBack() holds back the version that failed, until its files change', async () => {
  const { pins } = await editTakeBack(version(1), serving(2))(NO_OVERLAY, diskWith(2))
  assert.deepEqual(pins[0]?.runs, { kind: 'plugin', contentHash: 'content 1' })
  assert.equal(holding(pins, diskWith(2)), 1)
  assert.equal(holding(pins, diskWith(3)), 0)
})

test('editTakeBack() does not hold back files that were mended before it came to its turn', async () => {
  const { pins } = await editTakeBack(version(1), serving(2))(NO_OVERLAY, diskWith(3))
  assert.equal(holding(pins, diskWith(3)), 0)
})

test('editTakeBack() holds back files that differ from those of the version that failed, and give the same', async () => {
  const [plugin] = diskWith(3).plugins
  assert.ok(plugin)
  const disk = { config: CONFIG, plugins: [{ ...plugin, contentHash: version(2).contentHash }] }
  const { pins } = await editTakeBack(version(1), serving(2))(NO_OVERLAY, disk)
  assert.equal(holding(pins, disk), 1)
  assert.equal(holding(pins, diskWith(4)), 0)
})

test('editTakeBack() of a version that somebody rolled back to holds back what that did', async () => {
  const rolledBack = await editPluginVersion(version(2), serving(3), 'root')(NO_OVERLAY, diskWith(3))
  const [pin] = rolledBack.pins
  assert.ok(pin)
  const noted = { ...rolledBack, pins: [{ ...pin, rejectedContent: 'content 3' }] }
  const { pins } = await editTakeBack(version(1), serving(2))(noted, diskWith(3))
  assert.equal(pins.length, 1)
  assert.equal(pins[0]?.rejectedContent, 'content 3')
  assert.deepEqual(pins[0]?.runs, { kind: 'plugin', contentHash: 'content 1' })
  assert.equal(holding(pins, diskWith(3)), 1)
})

test('editTakeBack() holds back a version that failed in a folder of another name', async () => {
  const { pins } = await editTakeBack(version(1), serving(2, MOVED))(NO_OVERLAY, diskWith(2, MOVED))
  assert.deepEqual(
    pins.map(({ unit }) => unit),
    [MOVED],
  )
  assert.equal(holding(pins, diskWith(2, MOVED)), 1)
  assert.equal(holding(pins, diskWith(3, MOVED)), 0)
})

test('editPluginVersion() notes what the files give that it holds back, where that is known', async () => {
  const plugins = diskWith(3).plugins.map((plugin) => ({ ...plugin, contentHash: 'content 2' }))
  const { pins } = await editPluginVersion(
    version(1),
    serving(2),
    'root',
  )(NO_OVERLAY, { config: CONFIG, plugins })
  assert.deepEqual(
    pins.map(({ rejected, rejectedContent }) => [rejected, rejectedContent]),
    [['files of 3', 'content 2']],
  )
})

test('editPluginVersion() holds back what stands in a folder of another name by now', async () => {
  const { pins } = await editPluginVersion(
    version(1),
    serving(2, MOVED),
    'root',
  )(NO_OVERLAY, diskWith(2, MOVED))
  assert.equal(holding(pins, diskWith(2, MOVED)), 1)
  assert.equal(holding(pins, diskWith(3, MOVED)), 0)
})

test('editPluginVersion() takes no folder from a plugin that serves from it, whatever stands there now', async () => {
  const other = { ...version(7), name: 'other', folder: MOVED }
  const live = { ...serving(2), plugins: [version(2), other] }
  const { pins } = await editPluginVersion(version(1), live, 'root')(NO_OVERLAY, diskWith(2, MOVED))
  assert.deepEqual(
    pins.map(({ unit }) => unit),
    [FOLDER],
  )
})

test('editPluginVersion() holds nothing back where the files give that version, and no more', async () => {
  const held = await editPluginVersion(version(1), serving(2), 'root')(NO_OVERLAY, diskWith(2))
  assert.equal(held.pins.length, 1)
  const freed = await editPluginVersion(version(2), serving(1), 'root')(held, diskWith(2))
  assert.deepEqual(freed.pins, [])
})

const quarantine = (key: string, plugin = 'watch'): Quarantine => ({
  plugin,
  codeHash: 'code',
  key,
  harm: 'stall',
})

const keysOf = ({ controls }: Overlay): string[] => controls.quarantined.map(({ key }) => key)

test('editRollback() brings back the switches of a generation, and no code from its quarantine', async () => {
  const target = { ...serving(1), controls: { ...NO_OVERLAY.controls, disabled: ['chat'] } }
  const live = withQuarantined(NO_OVERLAY, quarantine('bad'))
  const overlay = await editRollback(target, serving(2), 'root')(live, diskWith(2))
  assert.deepEqual(overlay.controls.disabled, ['chat'])
  assert.deepEqual(keysOf(overlay), ['bad'])
  const lifted = { ...target, controls: live.controls }
  assert.deepEqual(keysOf(await editRollback(lifted, serving(2), 'root')(NO_OVERLAY, diskWith(2))), [])
})

test('withoutQuarantine() ends those of one plugin, or of these instances of it', () => {
  const all = ['a', 'b'].reduce((overlay, key) => withQuarantined(overlay, quarantine(key)), NO_OVERLAY)
  const overlay = withQuarantined(withQuarantined(all, quarantine('a')), quarantine('c', 'other'))
  assert.deepEqual(keysOf(overlay), ['a', 'b', 'c'])
  assert.deepEqual(keysOf(withoutQuarantine(overlay, 'watch')), ['c'])
  assert.deepEqual(keysOf(withoutQuarantine(overlay, 'watch', new Set(['b', 'c']))), ['a', 'c'])
})
