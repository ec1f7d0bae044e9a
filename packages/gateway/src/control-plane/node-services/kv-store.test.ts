import assert from 'node:assert/strict'
import { chmod, copyFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import { GatewayError } from '../../base/errors.ts'
import { KV_LIMITS } from '../../config/limits.ts'
import type { KvResult } from '../../protocol/node-services.ts'
import { KvStore } from './kv-store.ts'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

function set(store: KvStore, key: string, value = 'v', ttlMs: number | null = null, plugin = 'p'): KvResult {
  return store.run(plugin, { kind: 'set', key, value: bytes(value), ttlMs })
}

function get(store: KvStore, key: string, plugin = 'p'): string | null {
  const result = store.run(plugin, { kind: 'get', key })
  assert.equal(result.kind, 'value')
  return result.kind === 'value' && result.value !== null ? Buffer.from(result.value).toString() : null
}

function list(store: KvStore, prefix = '', limit = 100, plugin = 'p'): readonly string[] {
  const result = store.run(plugin, { kind: 'list', prefix, limit })
  return result.kind === 'keys' ? result.keys : assert.fail(JSON.stringify(result))
}

function isFull(result: KvResult): boolean {
  return result.kind === 'failed' && result.isFull
}

test('KvStore keeps the plugins apart, also where their names and keys run into one another', async () => {
  const store = await KvStore.open(null)
  set(store, 'b', 'of a', null, 'a')
  set(store, 'b', 'of aa', null, 'aa')
  set(store, 'ab', 'of a', null, 'a')
  assert.equal(get(store, 'b', 'a'), 'of a')
  assert.equal(get(store, 'b', 'aa'), 'of aa')
  assert.deepEqual(list(store, '', 100, 'a'), ['ab', 'b'])
  store.run('a', { kind: 'delete', key: 'b' })
  assert.equal(get(store, 'b', 'a'), null)
  assert.equal(get(store, 'b', 'aa'), 'of aa')
  store.close()
})

test('KvStore lists by prefix in the order of bytes, and no key that only looks alike', async () => {
  const store = await KvStore.open(null)
  const keys = [
    'user',
    'user:',
    'user:1',
    'user:é',
    'user:😀',
    'user:%',
    'user_1',
    'USER:1',
    'uses',
    'user:\u0000x',
  ]
  for (const key of keys) set(store, key)
  const expected = keys
    .filter((key) => key.startsWith('user:'))
    .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  assert.deepEqual(list(store, 'user:'), expected)
  assert.deepEqual(list(store, 'user:', 2), expected.slice(0, 2))
  assert.deepEqual(list(store, 'user:', 0), [])
  assert.equal(list(store).length, keys.length)
  store.close()
})

test('KvStore gives nothing out after its time, and sweeps it from the disk', async () => {
  let nowMs = 1_000
  const store = await KvStore.open(null, () => nowMs)
  set(store, 'short', 'v', 100)
  set(store, 'long', 'v', 1_000)
  set(store, 'for ever')
  nowMs = 1_099
  assert.equal(get(store, 'short'), 'v')
  nowMs = 1_100
  assert.equal(get(store, 'short'), null)
  assert.deepEqual(list(store), ['for ever', 'long'])
  assert.equal(store.sweep(), 1)
  assert.equal(store.sweep(), 0)
  // A later value without a time lives on.
  set(store, 'long', 'v', null)
  nowMs = 10_000
  assert.equal(store.sweep(), 0)
  assert.equal(get(store, 'long'), 'v')
  store.close()
})

test('KvStore refuses a key or value beyond the limit, and keeps what was there', async () => {
  const store = await KvStore.open(null)
  set(store, 'key', 'old')
  assert.ok(isFull(set(store, 'key', 'x'.repeat(KV_LIMITS.valueBytesMax + 1))))
  assert.ok(isFull(set(store, 'k'.repeat(KV_LIMITS.keyBytesMax + 1))))
  assert.equal(set(store, 'k'.repeat(KV_LIMITS.keyBytesMax)).kind, 'done')
  assert.equal(get(store, 'key'), 'old')
  store.close()
})

test('KvStore holds what a plugin keeps to its bounds: replaced and deleted counts no more, expired gives way', async () => {
  let nowMs = 0
  for (const bounds of [
    { keysMax: 100, bytesMax: 50 },
    { keysMax: 10, bytesMax: 10_000 },
  ]) {
    nowMs = 0
    const store = await KvStore.open(null, () => nowMs, bounds)
    // Ten of five bytes each: as much as either bound allows.
    for (let index = 0; index < 10; index++) {
      assert.equal(set(store, `k${index}`, 'xyz', index === 0 ? 1_000 : null).kind, 'done')
    }
    assert.ok(isFull(set(store, 'k+', 'xyz')))
    assert.equal(get(store, 'k+'), null)
    assert.equal(set(store, 'k1', 'abc').kind, 'done', 'the same size again adds nothing')
    assert.equal(set(store, 'k1', 'a').kind, 'done')
    assert.equal(set(store, 'k1', 'abc').kind, 'done')
    assert.equal(set(store, 'k+', 'xyz', null, 'another').kind, 'done')
    store.run('p', { kind: 'delete', key: 'k2' })
    store.run('p', { kind: 'delete', key: 'k2' })
    assert.equal(set(store, 'k+', 'xyz').kind, 'done')
    assert.ok(isFull(set(store, 'k*', 'xyz')), 'what was deleted twice counts once')
    nowMs = 1_000
    assert.equal(set(store, 'k*', 'xyz').kind, 'done', 'what has expired gives way')
    assert.ok(isFull(set(store, 'k/', 'xyz')))
    store.close()
  }
})

test('KvStore is on disk after it was closed, for its owner only', async () => {
  await using dir = await withTempDir()
  const file = join(dir.path, 'deep/kv.db')
  const first = await KvStore.open(file)
  set(first, 'key', 'value')
  // What a process that is killed leaves behind is what stands there now, not what `close` would write.
  const second = await KvStore.open(file)
  assert.equal(get(second, 'key'), 'value')
  set(second, 'key', 'of the second')
  assert.equal(get(first, 'key'), 'of the second')
  for (const name of ['kv.db', 'kv.db-wal', 'kv.db-shm']) {
    assert.equal((await stat(join(dir.path, 'deep', name))).mode & 0o777, 0o600, name)
  }
  first.close()
  second.close()
  await chmod(file, 0o644)
  const third = await KvStore.open(file)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.equal(get(third, 'key'), 'of the second')
  third.close()
})

test('KvStore.open() refuses what is no store and what a newer version wrote, says the file and leaves it as it is', async () => {
  await using dir = await withTempDir()
  const garbage = join(dir.path, 'garbage.db')
  await writeFile(
    garbage,
    'this is no database, but long enough to have a header of one hundred bytes or more'.repeat(3),
  )
  const newer = join(dir.path, 'newer.db')
  const database = new DatabaseSync(newer)
  database.exec('PRAGMA user_version = 99')
  database.close()
  for (const [file, reason] of [
    [garbage, /not a database/],
    [newer, /a newer Cardea wrote it \(version 99\)/],
    [dir.path, /unable to open/],
  ] as const) {
    const before = await stat(file)
    await assert.rejects(KvStore.open(file), (error) => {
      assert.ok(error instanceof GatewayError)
      assert.equal(error.code, 'KV_UNAVAILABLE')
      assert.ok(error.message.includes(file))
      assert.match(error.message, reason)
      return true
    })
    if (file !== newer) assert.equal((await stat(file)).size, before.size)
  }
})

test('KvStore.run() answers instead of throwing when the database is gone', async () => {
  const store = await KvStore.open(null)
  store.close()
  const result = set(store, 'key')
  assert.equal(result.kind, 'failed')
  assert.ok(!isFull(result), 'the plugin is not at fault')
})

test('KvStore looks for what has expired of a full plugin once a second, not for every value that it refuses', async () => {
  let now = 1_000_000
  const store = await KvStore.open(null, () => now, { keysMax: 2, bytesMax: 1_000 })
  set(store, 'stays')
  set(store, 'expires', 'v', 100)
  now += 50
  assert.ok(isFull(set(store, 'third')))
  now += 100
  assert.ok(isFull(set(store, 'third')))
  now += KV_LIMITS.expirePeriodMs
  assert.ok(!isFull(set(store, 'third')))
  assert.ok(isFull(set(store, 'fourth')))
  assert.equal(get(store, 'third'), 'v')
  store.close()
})

test('KvStore.putBack() leaves nothing beside the file that the next to open it would take for a part of it', async () => {
  await using dir = await withTempDir()
  const [file, later] = [join(dir.path, 'kv.db'), join(dir.path, 'later.db')]
  const store = await KvStore.open(file)
  // More than SQLite keeps beside the file before it writes it there, and then less of it.
  for (let index = 0; index < 100; index++) set(store, `key-${index}`, 'v'.repeat(KV_LIMITS.valueBytesMax))
  for (let index = 0; index < 99; index++) store.run('p', { kind: 'delete', key: `key-${index}` })
  await rm(file)
  assert.equal(store.putBack(), 1)
  // As a process leaves it that is killed before it closes the one that is gone.
  for (const suffix of ['', '-wal', '-shm']) {
    await copyFile(file + suffix, later + suffix).catch((error) => assert.equal(error.code, 'ENOENT'))
  }
  const next = await KvStore.open(later)
  assert.deepEqual(list(next), ['key-99'])
  assert.equal(get(next, 'key-99')?.length, KV_LIMITS.valueBytesMax)
  next.close()
  store.close()
  const database = new DatabaseSync(later)
  assert.deepEqual({ ...database.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' })
  database.close()
})
