import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import { NO_CONTROLS } from '../controls.ts'
import { GenerationStore } from './generation-store.ts'
import type { StorablePlugin } from './stored-plugin.ts'
import { generationOf, pluginFor } from './test-support.ts'
import type { StoredGeneration, StoredPlugin } from './types.ts'

async function decide(
  store: GenerationStore,
  plugin: StorablePlugin | null,
  rest: Partial<StoredGeneration> = {},
): Promise<void> {
  const { record, blobs } = generationOf(store.nextNumber(), plugin === null ? [] : [plugin], rest)
  await store.decide(record, blobs)
}

/** Decides for a row of generations, each with one version of the plugin `auth`. */
async function decideVersions(
  store: GenerationStore,
  ...versions: readonly string[]
): Promise<StorablePlugin[]> {
  const plugins = versions.map((version) => pluginFor('auth', version))
  for (const plugin of plugins) await decide(store, plugin)
  return plugins
}

const NO_CODE: ReadonlySet<string> = new Set()
const cause = (kind: 'probation' | 'reload' | 'enable') =>
  ({ kind, plugin: 'auth', version: '1.0.0' }) as const
const quarantining = ({ plugin: { codeHash } }: StorablePlugin) => ({
  ...NO_CONTROLS,
  quarantined: [{ plugin: 'auth', codeHash, key: 'k', harm: 'stall' } as const],
})

describe('GenerationStore.findVersion() and versionBefore()', () => {
  test('finds by version, by the beginning of the hash, and the one that ran before', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two] = await decideVersions(store, '1.0.0', '1.1.0')
    assert.ok(one !== undefined && two !== undefined)
    assert.deepEqual(await store.findVersion('auth', '1.0.0'), one.plugin)
    assert.deepEqual(await store.findVersion('auth', two.plugin.contentHash.slice(0, 8)), two.plugin)
    assert.deepEqual(await store.versionBefore('auth', NO_CODE), one.plugin)
    // Back to the first: what ran before it is now the second.
    await decide(store, one)
    assert.deepEqual(await store.versionBefore('auth', NO_CODE), two.plugin)
  })

  test('finds the last one of a plugin that is gone', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [, two] = await decideVersions(store, '1.0.0', '1.1.0')
    await decide(store, null)
    assert.deepEqual(await store.versionBefore('auth', NO_CODE), two?.plugin)
  })

  test('rejects what is unknown, ambiguous or the only one', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const refused = (wanted: string | null, message: RegExp, plugin = 'auth') =>
      assert.rejects(
        wanted === null ? store.versionBefore(plugin, NO_CODE) : store.findVersion(plugin, wanted),
        { code: 'PLUGIN_VERSION_UNKNOWN', message },
      )
    await refused(null, /has no stored version/)
    await decide(store, pluginFor('auth', '1.0.0', 'a'))
    await refused(null, /no other version than 1\.0\.0 \([0-9a-f]{8}\) of generation 1\.$/)
    await decide(store, pluginFor('auth', '1.0.0', 'b'))
    await refused('1.0.0', /several versions "1\.0\.0": 1\.0\.0 \([0-9a-f]{8}\) of generation 2, 1\.0\.0/)
    await refused('2.0.0', /has no stored version "2\.0\.0"\. There are 1\.0\.0 \(/)
    await refused('', /has no stored version/)
    await refused('1', /has no stored version/)
    await refused(null, /has no stored version/, 'other')
  })
})

describe('GenerationStore.versionsOf()', () => {
  type Spell = readonly [first: number, last: number]
  const ranIn = ({ plugin }: StorablePlugin, ...[before, after, rest]: [Spell, Spell, object]) => ({
    version: plugin.version,
    contentHash: plugin.contentHash,
    generations: [before, after].map(([first, last]) => ({ first, last })),
    hasFailed: false,
    ...rest,
  })

  test('gives the generations that each version ran in', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two] = await decideVersions(store, '1.0.0', '1.1.0', '1.1.0')
    assert.ok(one !== undefined && two !== undefined)
    await decide(store, null)
    await decide(store, one)
    await decide(store, two)
    assert.deepEqual(await store.versionsOf('auth'), [
      ranIn(two, [2, 3], [6, 6], { at: 1_700_000_000_002, isLive: true, isWayBack: false }),
      ranIn(one, [1, 1], [5, 5], { at: 1_700_000_000_001, isLive: false, isWayBack: true }),
    ])
    assert.deepEqual(await store.versionsOf('other'), [])
  })
})

describe('GenerationStore.soundVersion()', () => {
  test('is the version that ran last before the live one, of those that never failed', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two, three] = await decideVersions(store, '1.0.0', '2.0.0', '3.0.0')
    assert.ok(one && two && three)
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), two.plugin)
    assert.deepEqual(await store.soundVersion('auth', new Set([two.plugin.codeHash])), one.plugin)
    await decide(store, two, { cause: cause('probation') })
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), one.plugin)
    await decide(store, one, { cause: cause('probation') })
    assert.equal(await store.soundVersion('auth', NO_CODE), null)
    assert.equal(await store.soundVersion('other', NO_CODE), null)
    const known = await store.versionsOf('auth')
    const failed = known.filter(({ hasFailed }) => hasFailed).map(({ version }) => version)
    assert.deepEqual(failed.toSorted(), ['2.0.0', '3.0.0'])
  })

  test('lays a failure to no other version where the generation that failed is pruned', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, , three] = await decideVersions(store, '1.0.0', '1.0.0', '2.0.0')
    assert.ok(one && three)
    const { contentHash: failed } = three.plugin
    await decide(store, one, { cause: { ...cause('probation'), failed } })
    await decide(store, pluginFor('auth', '3.0.0'))
    // Streams run on the first one.
    await store.prune({ generationsMax: 2, pluginVersionsMax: 10 }, () => new Set([1]))
    assert.deepEqual(store.numbers(), [1, 4, 5])
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), one.plugin)
  })

  test('is one that was taken back and asked for again, also where only what took it back would be left', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two] = await decideVersions(store, '1.0.0', '2.0.0')
    assert.ok(one && two)
    await decide(store, one, { cause: { ...cause('probation'), failed: two.plugin.contentHash } })
    await decide(store, two, { cause: cause('reload') })
    await decide(store, two)
    await decide(store, one)
    // Streams run on the generation that was taken back to.
    await store.prune({ generationsMax: 2, pluginVersionsMax: 10 }, () => new Set([3]))
    assert.deepEqual(store.numbers(), [3, 4, 5, 6])
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), two.plugin)
    await store.prune({ generationsMax: 2, pluginVersionsMax: 10 }, () => new Set())
    assert.deepEqual(store.numbers(), [5, 6])
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), two.plugin)
  })

  test('is one that was quarantined and asked for again, also where only what ran quarantined would be left', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const two = pluginFor('auth', '2.0.0')
    await decide(store, two, { controls: quarantining(two) })
    await decide(store, two, { cause: cause('reload') })
    await decideVersions(store, '3.0.0', '4.0.0', '5.0.0')
    await store.prune({ generationsMax: 1, pluginVersionsMax: 10 }, () => new Set([1]))
    assert.deepEqual(store.numbers(), [1, 2, 5])
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), two.plugin)
  })

  const wholeFor: Readonly<Record<string, (version: StoredPlugin) => number | string>> = {
    'streams run on': () => 2,
    'has a version that is waited for': ({ contentHash }) => contentHash,
  }
  for (const [why, wholeOf] of Object.entries(wholeFor)) {
    test(`is none that failed, also where of before that only a generation would be left that ${why}`, async () => {
      await using dir = await withTempDir()
      const store = await GenerationStore.open(join(dir.path, '.cardea'))
      const [one, two] = await decideVersions(store, '1.0.0', '2.0.0')
      assert.ok(one && two)
      await decide(store, one, { cause: { ...cause('probation'), failed: two.plugin.contentHash } })
      await decideVersions(store, '3.0.0', '4.0.0')
      const inUse = new Set([wholeOf(two.plugin)])
      await store.prune({ generationsMax: 1, pluginVersionsMax: 10 }, () => inUse)
      assert.deepEqual(store.numbers(), [2, 3, 5])
      assert.deepEqual(await store.soundVersion('auth', NO_CODE), one.plugin)
      await store.prune({ generationsMax: 1, pluginVersionsMax: 0 }, () => inUse)
      assert.deepEqual(await store.findVersion('auth', '2.0.0'), two.plugin)
      const known = await store.versionsOf('auth')
      assert.deepEqual(
        known.filter(({ hasFailed }) => hasFailed).map(({ version }) => version),
        ['2.0.0'],
      )
    })
  }

  test('takes an approved command for that command', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two] = await decideVersions(store, '1.0.0', '2.0.0')
    assert.ok(one && two)
    await decide(store, one, { cause: { kind: 'approve', of: cause('probation') } })
    await decide(store, pluginFor('auth', '3.0.0'))
    assert.equal(await store.soundVersion('auth', new Set([one.plugin.codeHash])), null)
    await decide(store, two, { cause: { kind: 'approve', of: cause('enable') } })
    await decide(store, one)
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), two.plugin)
  })

  test('is one that was taken back once somebody has asked for it again', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two] = await decideVersions(store, '1.0.0', '2.0.0')
    assert.ok(one && two)
    await decide(store, one, { cause: cause('probation') })
    await decide(store, two, { cause: cause('reload') })
    await decide(store, one)
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), two.plugin)
  })

  test('is none that ran quarantined, whatever has ended that, but one that was asked for', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two, three] = await decideVersions(store, '1.0.0', '2.0.0', '3.0.0')
    assert.ok(one && two && three)
    await decide(store, two, { controls: quarantining(two) })
    // It ends all quarantines of the plugin, and is the word for what runs then.
    await decide(store, three, { cause: cause('enable') })
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), one.plugin)
    await decide(store, two, { cause: cause('enable') })
    await decide(store, three)
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), two.plugin)
  })
})

describe('GenerationStore.history()', () => {
  test('marks where a rollback goes to: past what failed, and nowhere when nothing is left', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two] = await decideVersions(store, '1.0.0', '2.0.0')
    assert.ok(one && two)
    const wayBack = async () =>
      (await store.history(10)).flatMap(({ number, isWayBack }) => (isWayBack ? number : []))
    assert.deepEqual(await wayBack(), [1])
    await decide(store, two, { controls: quarantining(two) })
    await decide(store, pluginFor('auth', '3.0.0'))
    assert.deepEqual(await wayBack(), [1])
    assert.equal((await store.find(null)).number, 1)
    await store.prune({ generationsMax: 1, pluginVersionsMax: 1 }, () => new Set())
    assert.deepEqual(await wayBack(), [])
  })
})

describe('GenerationStore.versionBefore()', () => {
  test('passes over versions that failed, and says so when no other one is left', async () => {
    await using dir = await withTempDir()
    const store = await GenerationStore.open(join(dir.path, '.cardea'))
    const [one, two, three] = await decideVersions(store, '1.0.0', '2.0.0', '3.0.0')
    assert.ok(one && two && three)
    await decide(store, two, { cause: cause('probation') })
    await decide(store, two, { controls: quarantining(two) })
    assert.deepEqual(await store.versionBefore('auth', NO_CODE), one.plugin)
    await assert.rejects(store.versionBefore('auth', new Set([one.plugin.codeHash])), {
      code: 'PLUGIN_VERSIONS_FAILED',
      message:
        /^Plugin "auth" has no other version that did not fail: 3\.0\.0 \([0-9a-f]{8}\) of generation 3, 1\.0\.0 \([0-9a-f]{8}\) of generation 1 were taken back .*, or name one of them to bring it back all the same\.$/,
    })
    // By its name, whoever asks for it gets it.
    assert.deepEqual(await store.findVersion('auth', '3.0.0'), three.plugin)
  })

  test('goes back once more after a rollback, and says so when nothing older is left', async () => {
    await using dir = await withTempDir()
    const open = () => GenerationStore.open(join(dir.path, '.cardea'))
    const first = await open()
    // People save again and again without another number.
    const plugins = ['a', 'b', 'c'].map((code) => pluginFor('auth', '1.0.0', code))
    const [one, two] = plugins
    assert.ok(one && two)
    for (const plugin of plugins) await decide(first, plugin, { cause: { kind: 'files', files: [] } })
    const back = { cause: { kind: 'plugin-rollback', plugin: 'auth', version: '1.0.0' } } as const
    await decide(first, two, back)
    // As after a restart.
    const store = await open()
    assert.deepEqual(await store.versionBefore('auth', NO_CODE), one.plugin)
    // What the gateway takes back by itself goes no other way.
    assert.deepEqual(await store.soundVersion('auth', NO_CODE), one.plugin)
    const wayBack = (await store.versionsOf('auth')).filter(({ isWayBack }) => isWayBack)
    assert.deepEqual(
      wayBack.map(({ contentHash }) => contentHash),
      [one.plugin.contentHash],
    )
    await decide(store, one, back)
    assert.equal(await store.soundVersion('auth', NO_CODE), null)
    await assert.rejects(store.versionBefore('auth', NO_CODE), {
      code: 'ROLLBACK_EXHAUSTED',
      message:
        /^There is no version of plugin "auth" left to roll back to\. Gone back from already, or held back: 1\.0\.0 \([0-9a-f]{8}\) of generation 4, 1\.0\.0 \([0-9a-f]{8}\) of generation 3\. .*"cardea plugin rollback auth VERSION" brings one back all the same\.$/,
    })
    assert.ok((await store.versionsOf('auth')).every(({ isWayBack }) => !isWayBack))
  })
})
