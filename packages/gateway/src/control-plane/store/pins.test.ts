import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fingerprintOfConfig } from './fingerprint.ts'
import {
  type DiskPlugin,
  type DiskState,
  fingerprintsOf,
  followMoves,
  pinStatus,
  pinsForRollback,
  pinsThatHold,
  withoutReleased,
  withPluginPinned,
} from './pins.ts'
import { type StorablePlugin, storableConfig } from './stored-plugin.ts'
import { generationOf, pluginFor } from './test-support.ts'
import type { Pin, StoredGeneration } from './types.ts'

const AUTHOR = { who: 'ada', since: 5 }

function onDisk({ plugin }: StorablePlugin, changes: Partial<DiskPlugin> = {}): DiskPlugin {
  const { folder, name, fingerprint } = plugin
  return { folder, name, fingerprint, isIdle: false, ...changes }
}

function diskOf(plugins: readonly DiskPlugin[], text = 'routes: []\n'): DiskState {
  return { config: storableConfig('/srv/cardea.yaml', text).config, plugins }
}

const short = ({ name, rejected, runs }: Pin) => ({ name, rejected, runs })

describe('pinsForRollback()', () => {
  const one = pluginFor('auth', '1.0.0')
  const two = pluginFor('auth', '2.0.0')
  const runsOne = { kind: 'plugin', contentHash: one.plugin.contentHash } as const

  test('holds a plugin that was changed, with what stands there now', () => {
    const pins = pinsForRollback(generationOf(1, [one]).record, diskOf([onDisk(two)]), null, AUTHOR)
    assert.deepEqual(pins, [
      { unit: '/srv/plugins/auth', name: 'auth', rejected: two.plugin.fingerprint, runs: runsOne, ...AUTHOR },
    ])
  })

  test('holds a deletion and an addition', () => {
    const extra = pluginFor('extra')
    const pins = pinsForRollback(generationOf(1, [one]).record, diskOf([onDisk(extra)]), null, AUTHOR)
    assert.deepEqual(pins.map(short), [
      { name: 'auth', rejected: null, runs: runsOne },
      { name: 'extra', rejected: extra.plugin.fingerprint, runs: { kind: 'absent' } },
    ])
  })

  test('holds a plugin that was moved where it stands now: the first change there lifts that', () => {
    const moved = onDisk(two, { folder: '/srv/plugins/moved' })
    const pins = pinsForRollback(generationOf(1, [one]).record, diskOf([moved]), null, AUTHOR)
    assert.deepEqual(pins, [
      {
        unit: '/srv/plugins/moved',
        name: 'auth',
        rejected: two.plugin.fingerprint,
        runs: runsOne,
        ...AUTHOR,
      },
    ])
  })

  test('holds a plugin that was moved and what stands in its place', () => {
    const moved = onDisk(two, { folder: '/srv/plugins/moved' })
    const other = onDisk(pluginFor('other'), { folder: one.plugin.folder })
    const pins = pinsForRollback(generationOf(1, [one]).record, diskOf([moved, other]), null, AUTHOR)
    assert.deepEqual(
      pins.map(({ unit, name, runs }) => [unit, name, runs.kind]),
      [
        ['/srv/plugins/moved', 'auth', 'plugin'],
        ['/srv/plugins/auth', 'other', 'absent'],
      ],
    )
  })

  test('holds two plugins whose folders were exchanged, each where the other stood', () => {
    const other = pluginFor('other')
    const target = generationOf(1, [one, other]).record
    const disk = diskOf([
      onDisk(two, { folder: other.plugin.folder }),
      onDisk(other, { folder: one.plugin.folder }),
    ])
    const pins = pinsForRollback(target, disk, null, AUTHOR)
    assert.equal(new Set(pins.map(({ unit }) => unit)).size, 2)
    const hashes = pins.map(({ runs }) => (runs.kind === 'plugin' ? runs.contentHash : ''))
    assert.deepEqual(hashes.sort(), [one, other].map(({ plugin }) => plugin.contentHash).sort())
  })

  test('holds nothing where a plugin was moved and is what it was', () => {
    const moved = onDisk(one, { folder: '/srv/plugins/moved' })
    assert.deepEqual(pinsForRollback(generationOf(1, [one]).record, diskOf([moved]), null, AUTHOR), [])
  })

  test('holds the config', () => {
    const target = generationOf(4, [], { text: 'old' }).record
    const pins = pinsForRollback(target, diskOf([], 'new'), null, AUTHOR)
    const rejected = fingerprintOfConfig(diskOf([], 'new').config)
    assert.deepEqual(pins.map(short), [{ name: 'config', rejected, runs: { kind: 'generation', number: 4 } }])
  })

  test('holds another target of the command line', () => {
    const target = generationOf(4, [], {
      config: { kind: 'target', url: 'http://127.0.0.1:3000', port: 8080, directory: '/srv' },
    }).record
    const config = { kind: 'target', url: 'http://127.0.0.1:4000', port: 8080, directory: '/srv' } as const
    assert.equal(pinsForRollback(target, { config, plugins: [] }, null, AUTHOR).length, 1)
    assert.deepEqual(pinsForRollback(target, { config: target.config, plugins: [] }, null, AUTHOR), [])
  })

  test('holds nothing where the disk is what it was', () => {
    const target = generationOf(1, [one]).record
    assert.deepEqual(pinsForRollback(target, diskOf([onDisk(one)]), target, AUTHOR), [])
  })

  test('holds nothing where other files give the same: a comment was changed', () => {
    const disk = diskOf([onDisk(two, { contentHash: one.plugin.contentHash })])
    assert.deepEqual(pinsForRollback(generationOf(1, [one]).record, disk, null, AUTHOR), [])
  })

  test('holds equal files that give other code, because a dependency is another one', () => {
    const target = generationOf(1, [one]).record
    const rebuilt = { ...one.plugin, contentHash: 'f'.repeat(64) }
    const live: StoredGeneration = { ...generationOf(2).record, plugins: [rebuilt] }
    const pins = pinsForRollback(target, diskOf([onDisk(one)]), live, AUTHOR)
    assert.deepEqual(pins.map(short), [{ name: 'auth', rejected: one.plugin.fingerprint, runs: runsOne }])
  })

  test('holds equal files of which it is known that they give other code by now, whatever serves', () => {
    const disk = diskOf([onDisk(one, { contentHash: 'f'.repeat(64) })])
    const pins = pinsForRollback(generationOf(1, [one]).record, disk, null, AUTHOR)
    assert.deepEqual(pins.map(short), [{ name: 'auth', rejected: one.plugin.fingerprint, runs: runsOne }])
  })

  test('holds back no folder that is disabled anyway', () => {
    const disk = diskOf([onDisk(two, { isIdle: true })])
    assert.deepEqual(pinsForRollback(generationOf(1).record, disk, null, AUTHOR), [])
  })

  test('holds back no plugin that a command had switched off: "enable" is to find it', () => {
    const controls = { disabled: ['auth'], incarnations: {}, quarantined: [] }
    const target = generationOf(1, [], { controls }).record
    assert.deepEqual(pinsForRollback(target, diskOf([onDisk(two)]), null, AUTHOR), [])
  })
})

describe('pinsThatHold()', () => {
  const pin: Pin = { unit: '/a', name: 'a', rejected: 'x', runs: { kind: 'absent' }, ...AUTHOR }

  test('lifts a pin with the first change, also the deletion, of what was rejected', () => {
    const holds = (rejected: string | null, now: string | null) =>
      pinsThatHold([{ ...pin, rejected }], new Map(now === null ? [] : [['/a', now]])).length === 1
    assert.ok(holds('x', 'x'))
    assert.ok(holds(null, null))
    assert.ok(!holds('x', 'y'))
    assert.ok(!holds('x', null))
    assert.ok(!holds(null, 'x'))
  })

  test('keeps every pin of a rollback as long as the disk stays, and loses one with each change', () => {
    const plugin = fc
      .record({ name: fc.constantFrom('a', 'b', 'c', 'd'), version: fc.constantFrom('1.0.0', '2.0.0') })
      .map(({ name, version }) => pluginFor(name, version))
    const plugins = fc.uniqueArray(plugin, { selector: ({ plugin: { name } }) => name })
    fc.assert(
      fc.property(plugins, plugins, fc.boolean(), (before, now, isConfigChanged) => {
        const disk = diskOf(
          now.map((one) => onDisk(one)),
          isConfigChanged ? 'new' : undefined,
        )
        const target = generationOf(1, before).record
        const pins = pinsForRollback(target, disk, null, AUTHOR)
        const fingerprints = fingerprintsOf(disk)
        assert.deepEqual(pinsThatHold(pins, fingerprints), pins)
        // What runs through the pins is exactly the target.
        const runs = new Map(now.map(({ plugin: { folder, contentHash } }) => [folder, contentHash]))
        for (const { unit, runs: instead } of pins) {
          if (instead.kind === 'absent') runs.delete(unit)
          if (instead.kind === 'plugin') runs.set(unit, instead.contentHash)
        }
        const wanted = new Map(before.map(({ plugin: { folder, contentHash } }) => [folder, contentHash]))
        assert.deepEqual([...runs].sort(), [...wanted].sort())
        for (const { unit } of pins) {
          const changed = new Map([...fingerprints, [unit, 'other']])
          assert.deepEqual(
            pinsThatHold(pins, changed),
            pins.filter((one) => one.unit !== unit),
          )
        }
      }),
    )
  })
})

describe('followMoves()', () => {
  const [auth, extra] = [onDisk(pluginFor('auth')), onDisk(pluginFor('extra'))]
  const pinOf = ({ folder, name, fingerprint }: DiskPlugin): Pin => ({
    unit: folder,
    name,
    rejected: fingerprint,
    runs: { kind: 'absent' },
    ...AUTHOR,
  })
  const pins = [pinOf(auth), pinOf(extra)]
  const unitsOn = (...plugins: readonly DiskPlugin[]) =>
    followMoves(pins, { plugins }).map(({ unit }) => unit)

  test('follows what is held back into a folder of another name, also into one whose own is gone, and an exchange of two', () => {
    const moved = '/srv/plugins/moved'
    assert.deepEqual(unitsOn({ ...auth, folder: moved }, extra), [moved, extra.folder])
    assert.deepEqual(unitsOn({ ...auth, folder: extra.folder }), [extra.folder, extra.folder])
    const exchanged = unitsOn({ ...auth, folder: extra.folder }, { ...extra, folder: auth.folder })
    assert.deepEqual(exchanged, [extra.folder, auth.folder])
  })

  test('follows nothing that was changed, that stands where it was, or whose copies are several', () => {
    const units = [auth.folder, extra.folder]
    assert.deepEqual(unitsOn({ ...auth, folder: '/srv/plugins/moved', fingerprint: 'other' }, extra), units)
    assert.deepEqual(unitsOn(auth, { ...auth, folder: '/srv/plugins/copy' }, extra), units)
    const copies = ['/srv/plugins/copy', '/srv/plugins/again'].map((folder) => ({ ...auth, folder }))
    assert.deepEqual(unitsOn(...copies, extra), units)
  })

  test('takes no folder from another plugin that serves from it', () => {
    const other = pluginFor('other').plugin
    const plugins = [{ ...auth, folder: other.folder }]
    const [pin] = pins
    assert.ok(pin !== undefined)
    assert.deepEqual(followMoves([pin], { plugins }, [other]), [pin])
    assert.equal(followMoves([pin], { plugins }, [])[0]?.unit, other.folder)
  })
})

describe('withPluginPinned()', () => {
  test('takes the place of an earlier pin of the same folder, and leaves the others', () => {
    const one = pluginFor('auth', '1.0.0').plugin
    const other: Pin = { unit: '/b', name: 'b', rejected: 'x', runs: { kind: 'absent' }, ...AUTHOR }
    const earlier: Pin = { ...other, unit: one.folder, name: 'auth' }
    const runs = { kind: 'plugin', contentHash: one.contentHash } as const
    assert.deepEqual(withPluginPinned([earlier, other], one, { unit: one.folder, rejected: 'now' }, AUTHOR), [
      other,
      { unit: one.folder, name: 'auth', rejected: 'now', runs, ...AUTHOR },
    ])
  })
})

describe('withoutReleased()', () => {
  test('releases one by its name, or all', () => {
    const pin = (unit: string, name: string): Pin => ({
      unit,
      name,
      rejected: null,
      runs: { kind: 'absent' },
      ...AUTHOR,
    })
    const pins = [pin('config', 'config'), pin('/a', 'a'), pin('/b', 'b')]
    const names = (name: string | null) => withoutReleased(pins, name).map((left) => left.name)
    assert.deepEqual(names('a'), ['config', 'b'])
    assert.deepEqual(names('config'), ['a', 'b'])
    assert.deepEqual(names('unknown'), ['config', 'a', 'b'])
    assert.deepEqual(names(null), [])
  })
})

test('pinStatus() says what runs instead', () => {
  const auth = pluginFor('auth', '1.2.0')
  const live = generationOf(3, [auth]).record
  const pin: Pin = {
    unit: '/srv/plugins/auth',
    name: 'auth',
    rejected: null,
    runs: { kind: 'absent' },
    ...AUTHOR,
  }
  const runs = (content: Pin['runs']) => pinStatus({ ...pin, runs: content }, live).runs
  const { contentHash } = auth.plugin
  const known = { kind: 'plugin', contentHash } as const
  assert.deepEqual(runs(known), { ...known, version: '1.2.0' })
  const unknown = { kind: 'plugin', contentHash: '0'.repeat(64) } as const
  assert.deepEqual(runs(unknown), { ...unknown, version: null })
  const config = { kind: 'generation', number: 12 } as const
  assert.deepEqual(runs(config), config)
  assert.deepEqual(pinStatus(pin, live), { unit: 'auth', runs: { kind: 'nothing' }, ...AUTHOR })
})
