import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import { GenerationStore } from './generation-store.ts'
import type { StorablePlugin } from './stored-plugin.ts'
import { type Decidable, generationOf, pluginFor } from './test-support.ts'
import type { StoredGeneration } from './types.ts'

const LIMITS = { generationsMax: 100, pluginVersionsMax: 100 }

const decide = (store: GenerationStore, { record, blobs }: Decidable): Promise<void> =>
  store.decide(record, blobs)

async function withStore() {
  const dir = await withTempDir()
  const directory = join(dir.path, '.cardea')
  return {
    directory,
    store: await GenerationStore.open(directory),
    reopened: () => GenerationStore.open(directory),
    blobFile: (hash: string) => join(directory, 'blobs', hash),
    recordFile: (number: number) => join(directory, 'generations', `${number}.record`),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  }
}

/** Decides for a row of generations, each with one version of the plugin `auth`. */
async function decideVersions(
  store: GenerationStore,
  ...versions: readonly string[]
): Promise<StorablePlugin[]> {
  const plugins = versions.map((version) => pluginFor('auth', version))
  for (const plugin of plugins) await decide(store, generationOf(store.nextNumber(), [plugin]))
  return plugins
}

describe('GenerationStore.open()', () => {
  test('makes a folder that only its user can read and git ignores', async () => {
    await using env = await withStore()
    await decide(env.store, generationOf(1, [pluginFor('auth')]))
    assert.equal((await stat(env.directory)).mode & 0o777, 0o700)
    assert.equal(await readFile(join(env.directory, '.gitignore'), 'utf8'), '*\n')
    for (const folder of ['blobs', 'generations']) {
      const files = await readdir(join(env.directory, folder))
      assert.ok(files.length > 0)
      for (const file of files) {
        assert.equal((await stat(join(env.directory, folder, file))).mode & 0o777, 0o600)
      }
    }
  })

  test('rejects with STORE_WRITE_FAILED where the folder cannot be', async () => {
    await using dir = await withTempDir()
    await dir.write({ '.cardea': 'a file' })
    await assert.rejects(GenerationStore.open(join(dir.path, '.cardea')), { code: 'STORE_WRITE_FAILED' })
  })

  test('leaves a .gitignore of the user as it is', async () => {
    await using env = await withStore()
    await writeFile(join(env.directory, '.gitignore'), '*.tmp\n')
    await env.reopened()
    assert.equal(await readFile(join(env.directory, '.gitignore'), 'utf8'), '*.tmp\n')
  })

  test('passes over a truncated newest record, says so, and never gives its number again', async () => {
    await using env = await withStore()
    await decide(env.store, generationOf(1))
    await decide(env.store, generationOf(2))
    const text = await readFile(env.recordFile(2), 'utf8')
    const zeros = '\0'.repeat(text.length)
    const torn = [0, 1, 60, text.length - 2, text.length - 1].map((length) => text.slice(0, length))
    for (const content of [...torn, zeros]) {
      await writeFile(env.recordFile(2), content)
      const store = await env.reopened()
      assert.equal(store.latest()?.number, 1, `${content.length} bytes`)
      assert.equal(store.nextNumber(), 3)
      assert.match(store.damages()[0]?.message ?? '', /2\.record: it is not whole/)
    }
  })

  test('passes over a record that was edited, and one that stands in for another', async () => {
    await using env = await withStore()
    for (const number of [1, 2, 3]) await decide(env.store, generationOf(number))
    const text = await readFile(env.recordFile(2), 'utf8')
    await writeFile(env.recordFile(3), text)
    await writeFile(env.recordFile(2), text.replace('ada', 'eve'))
    const store = await env.reopened()
    assert.equal(store.latest()?.number, 1)
    assert.deepEqual(
      store.damages().map(({ message }) => /[0-9]\.record: .*$/.exec(message)?.[0]),
      ['3.record: it is that of 2.', '2.record: its content does not have the hash that it names.'],
    )
  })

  test('refuses the record of a newer version instead of misreading it', async () => {
    await using env = await withStore()
    await decide(env.store, generationOf(1))
    const text = await readFile(env.recordFile(1), 'utf8')
    await writeFile(env.recordFile(1), text.replace('"format":1', '"format":2'))
    const store = await env.reopened()
    assert.equal(store.latest(), null)
    assert.match(store.damages()[0]?.message ?? '', /a newer version of Cardea wrote it/)
  })
})

describe('GenerationStore.decide()', () => {
  test('brings a generation back after a restart, byte by byte', async () => {
    await using env = await withStore()
    const auth = pluginFor('auth', '1.2.3', 'exports.x = "\u2028 ü"')
    const { record, blobs } = generationOf(1, [auth], { text: 'token: ${TOKEN}\r\n' })
    await env.store.decide(record, blobs)
    const store = await env.reopened()
    assert.deepEqual(store.latest(), record)
    assert.deepEqual(await store.get(1), record)
    const loaded = await store.loadPlugin(auth.plugin)
    assert.equal(loaded.manifestText, '{"name":"auth","version":"1.2.3"}')
    assert.equal(loaded.bundle.code, 'exports.x = "\u2028 ü"')
    assert.equal(loaded.bundle.codeHash, auth.plugin.codeHash)
    assert.ok(record.config.kind === 'file')
    assert.equal(await store.configText(record.config.textHash), 'token: ${TOKEN}\r\n')
  })

  test('refuses a number that is decided, and one below it', async () => {
    await using env = await withStore()
    await decide(env.store, generationOf(5))
    for (const number of [5, 4, 0, -1, 1.5]) {
      await assert.rejects(decide(env.store, generationOf(number)), { code: 'INTERNAL_ERROR' })
    }
    assert.deepEqual((await env.reopened()).numbers(), [5])
  })

  test('refuses a record with a blob that nobody gave, and decides nothing', async () => {
    await using env = await withStore()
    const { record } = generationOf(1, [pluginFor('auth')])
    await assert.rejects(env.store.decide(record, []), { code: 'INTERNAL_ERROR' })
    assert.equal(env.store.latest(), null)
    assert.equal((await env.reopened()).latest(), null)
  })

  test('takes blobs of an earlier generation as given', async () => {
    await using env = await withStore()
    const auth = pluginFor('auth')
    await decide(env.store, generationOf(1, [auth]))
    const store = await env.reopened()
    await store.decide(generationOf(2, [auth]).record, [])
    assert.equal(store.latest()?.number, 2)
  })

  test('rejects with STORE_WRITE_FAILED and keeps the old one when the disk refuses', async () => {
    await using env = await withStore()
    await decide(env.store, generationOf(1))
    await rm(join(env.directory, 'generations'), { recursive: true })
    await writeFile(join(env.directory, 'generations'), 'not a folder')
    await assert.rejects(decide(env.store, generationOf(2)), { code: 'STORE_WRITE_FAILED' })
    assert.equal(env.store.latest()?.number, 1)
    assert.equal(env.store.nextNumber(), 2)
  })

  test('goes on after somebody deleted the folder', async () => {
    await using env = await withStore()
    const auth = pluginFor('auth')
    await decide(env.store, generationOf(7, [auth]))
    await env.store.history(10)
    await rm(env.directory, { recursive: true })
    await decide(env.store, generationOf(8, [auth]))
    const store = await env.reopened()
    assert.deepEqual(store.numbers(), [8])
    await store.loadPlugin(auth.plugin)
    assert.deepEqual(
      (await env.store.history(10)).map(({ number }) => number),
      [8],
    )
  })

  test('writes a damaged blob anew when it is given again', async () => {
    await using env = await withStore()
    const auth = pluginFor('auth')
    await decide(env.store, generationOf(1, [auth]))
    await writeFile(env.blobFile(auth.plugin.bundleHash), 'rot')
    await rm(env.blobFile(auth.plugin.manifestHash))
    const store = await env.reopened()
    await decide(store, generationOf(2, [auth]))
    await store.loadPlugin(auth.plugin)
  })

  test('decides one after the other when asked at once', async () => {
    await using env = await withStore()
    await Promise.all([1, 2, 3].map((number) => decide(env.store, generationOf(number, [pluginFor('auth')]))))
    assert.deepEqual(env.store.numbers(), [1, 2, 3])
    assert.equal(env.store.latest()?.number, 3)
  })
})

describe('GenerationStore.loadPlugin()', () => {
  test('rejects a damaged and a missing blob with its file and plugin', async () => {
    await using env = await withStore()
    const auth = pluginFor('auth')
    await decide(env.store, generationOf(1, [auth]))
    const file = env.blobFile(auth.plugin.bundleHash)
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace('auth', 'evil'))
    await assert.rejects(env.store.loadPlugin(auth.plugin), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'STORE_DAMAGED')
      assert.ok(error.message.startsWith('Cannot load the code of plugin "auth" 1.0.0: '), error.message)
      assert.ok(error.message.includes(file))
      return true
    })
    await writeFile(file, text)
    await rm(env.blobFile(auth.plugin.manifestHash))
    await assert.rejects(env.store.loadPlugin(auth.plugin), { code: 'STORE_DAMAGED', message: /is missing/ })
    // Stands for all that the system has against reading it: whoever is told mends that.
    await mkdir(env.blobFile(auth.plugin.manifestHash))
    await assert.rejects(env.store.loadPlugin(auth.plugin), { message: /cannot be read: EISDIR/ })
  })
})

describe('GenerationStore.find()', () => {
  test('finds the one before the latest, and says which is not kept', async () => {
    await using env = await withStore()
    await assert.rejects(env.store.find(null), { code: 'GENERATION_UNKNOWN' })
    await decide(env.store, generationOf(3))
    await assert.rejects(env.store.find(null), { code: 'GENERATION_UNKNOWN' })
    await decide(env.store, generationOf(9, [pluginFor('auth')]))
    assert.equal((await env.store.find(null)).number, 3)
    assert.equal((await env.store.find(9)).number, 9)
    await assert.rejects(env.store.find(4), {
      code: 'GENERATION_UNKNOWN',
      message: /Generation 4 is not kept/,
    })
  })

  test('says so when none is left that was not gone back from', async () => {
    await using env = await withStore()
    await decide(env.store, generationOf(1))
    await decide(env.store, generationOf(2, [pluginFor('auth')]))
    await decide(env.store, generationOf(3, [], { cause: { kind: 'rollback', generation: 1 } }))
    await assert.rejects(env.store.find(null), {
      code: 'ROLLBACK_EXHAUSTED',
      message: /from generation 3: .*"cardea rollback NUMBER"/,
    })
    assert.equal((await env.store.find(2)).number, 2)
  })

  test('passes over generations whose plugin versions are pruned, and names them and the nearest whole ones when asked for one', async () => {
    await using env = await withStore()
    const pruned = pluginFor('auth', '1.1.0')
    await decide(env.store, generationOf(1))
    await decide(env.store, generationOf(2, [pruned, pluginFor('other')]))
    await decide(env.store, generationOf(3, [], { text: 'routes: [] # 3\n' }))
    await decide(env.store, generationOf(4, [pruned]))
    await decide(env.store, generationOf(5, [pluginFor('auth', '1.2.0')]))
    await env.store.prune({ generationsMax: 100, pluginVersionsMax: 0 }, () => new Set())
    assert.equal((await env.store.find(null)).number, 3)
    const version = `plugin "auth", 1.1.0 (${pruned.plugin.contentHash.slice(0, 8)})`
    const refused = async (number: number, message: string): Promise<void> =>
      assert.rejects(env.store.find(number), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'GENERATION_UNKNOWN')
        assert.ok(error.message.startsWith(message), error.message)
        return true
      })
    await refused(
      4,
      `Cannot bring back generation 4: its version of ${version}, is not kept any more. ` +
        'The nearest that can be brought back is 3; ',
    )
    await refused(2, `Cannot bring back generation 2: its versions of ${version}, plugin "other", 1.0.0 (`)
    await assert.rejects(env.store.find(2), {
      message: /\), are not kept any more\. The nearest that can be brought back are 1 and 3; /,
    })
    await refused(99, 'Generation 99 is not kept. The nearest that can be brought back is 3; ')
  })

  test('rejects with STORE_DAMAGED where the record is damaged', async () => {
    await using env = await withStore()
    for (const number of [1, 2]) await decide(env.store, generationOf(number))
    await truncate(env.recordFile(1), 10)
    await assert.rejects(env.store.find(1), { code: 'STORE_DAMAGED', message: /generation 1/ })
  })
})

describe('GenerationStore.history()', () => {
  test('lists the newest first, with what serves and what can be brought back', async () => {
    await using env = await withStore()
    await decideVersions(env.store, '1.0.0', '1.1.0', '1.2.0')
    await env.store.prune({ generationsMax: 100, pluginVersionsMax: 1 }, () => new Set())
    for (const store of [env.store, await env.reopened()]) {
      const history = await store.history(10)
      assert.deepEqual(
        history.map(({ number, isLive, isStored }) => ({ number, isLive, isStored })),
        [
          { number: 3, isLive: true, isStored: true },
          { number: 2, isLive: false, isStored: true },
          { number: 1, isLive: false, isStored: false },
        ],
      )
      assert.equal(history[0]?.who, 'ada')
      assert.deepEqual(
        (await store.history(1)).map(({ number }) => number),
        [3],
      )
      await assert.rejects(store.find(1), { code: 'GENERATION_UNKNOWN', message: /plugin "auth", 1\.0\.0/ })
    }
  })

  test('knows what was decided while it was being read', async () => {
    await using env = await withStore()
    for (const number of [1, 2]) await decide(env.store, generationOf(number))
    const store = await env.reopened()
    const early = store.history(10)
    await decide(store, generationOf(3))
    await early
    assert.deepEqual(
      (await store.history(10)).map(({ number }) => number),
      [3, 2, 1],
    )
  })
})

test('GenerationStore.mendLatest() has damaged files whole again, and says whether there were any', async () => {
  await using env = await withStore()
  const generation = generationOf(1, [pluginFor('auth')])
  await decide(env.store, generation)
  assert.equal(await env.store.mendLatest(generation.blobs), false)
  for (const { hash } of generation.blobs) await truncate(env.blobFile(hash), 1)
  assert.equal(await env.store.mendLatest(generation.blobs), true)
  for (const { hash, text } of generation.blobs)
    assert.equal(await readFile(env.blobFile(hash), 'utf8'), text)
})

describe('GenerationStore.prune()', () => {
  test('asks what is in use when it begins to delete: a rollback may have been asked for meanwhile', async () => {
    await using env = await withStore()
    await decideVersions(env.store, '1.0.0', '1.1.0', '1.2.0')
    const inUse = new Set<number>()
    const pruned = env.store.prune({ generationsMax: 1, pluginVersionsMax: 1 }, () => inUse)
    inUse.add(1)
    await pruned
    assert.deepEqual(env.store.numbers(), [1, 3])
  })

  test('keeps what is live, pinned or in use, and only the newest of the rest', async () => {
    await using env = await withStore()
    const plugins = await decideVersions(env.store, '1.0.0', '1.1.0', '1.2.0', '1.3.0', '1.4.0')
    const [one, two] = plugins
    assert.ok(one !== undefined && two !== undefined)
    const pins: StoredGeneration['pins'] = [
      {
        unit: '/srv/plugins/auth',
        name: 'auth',
        rejected: null,
        runs: { kind: 'plugin', contentHash: one.plugin.contentHash },
        since: 0,
        who: 'ada',
      },
    ]
    await decide(env.store, generationOf(6, [pluginFor('auth', '1.5.0')], { pins }))
    await env.store.prune({ generationsMax: 2, pluginVersionsMax: 1 }, () => new Set([2, 1]))
    const store = await env.reopened()
    assert.deepEqual(store.numbers(), [1, 2, 5, 6])
    assert.equal((await store.find(2)).number, 2)
    await store.loadPlugin(one.plugin)
    await assert.rejects(store.loadPlugin(plugins[2]?.plugin ?? one.plugin), { code: 'STORE_DAMAGED' })
  })

  test('leaves nothing that no record needs', async () => {
    await using env = await withStore()
    await decideVersions(env.store, '1.0.0', '1.1.0', '1.2.0')
    await writeFile(env.blobFile('0'.repeat(64)), 'garbage of a crash')
    const store = await env.reopened()
    await store.prune({ generationsMax: 1, pluginVersionsMax: 1 }, () => new Set())
    assert.equal((await readdir(join(env.directory, 'blobs'))).length, 3)
    assert.deepEqual(await readdir(join(env.directory, 'generations')), ['3.record'])
  })

  test('never takes away what a decision made at the same time needs', async () => {
    await using env = await withStore()
    const [one] = await decideVersions(env.store, '1.0.0', '1.1.0')
    assert.ok(one !== undefined)
    await decide(env.store, generationOf(3))
    await Promise.all([
      env.store.prune({ generationsMax: 1, pluginVersionsMax: 1 }, () => new Set()),
      decide(env.store, generationOf(4, [one])),
      env.store.prune({ generationsMax: 1, pluginVersionsMax: 1 }, () => new Set()),
    ])
    await (await env.reopened()).loadPlugin(one.plugin)
  })

  test('does nothing to an empty store', async () => {
    await using env = await withStore()
    await env.store.prune(LIMITS, () => new Set())
    assert.deepEqual(env.store.numbers(), [])
  })
})
