import assert from 'node:assert/strict'
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Log } from '@cardea/sdk'
import { type TempDir, withTempDir } from '../../../../../tests/support/temp-dir.ts'
import type { NodeClock } from '../../base/node-clock.ts'
import { KvKeeper } from './kv-keeper.ts'

/** One keeper on the store in `.cardea/` of the folder, by a clock that stands still. */
class Kept {
  readonly logged: string[] = []
  nowMs = 0
  readonly folder: string
  readonly #keeper: KvKeeper

  constructor(dir: TempDir) {
    this.folder = join(dir.path, '.cardea')
    const say = (message: string): void => void this.logged.push(message)
    const log: Log = { debug: say, info: say, warn: say, error: say }
    const clock: NodeClock = { nowMs: () => this.nowMs, after: () => () => {}, atTurnEnd: () => {} }
    this.#keeper = new KvKeeper({ directory: this.folder, log, clock, unixMs: () => 0 })
  }

  async set(key: string, value = 'v'): Promise<void> {
    const bytes = new Uint8Array(Buffer.from(value))
    const result = await this.#keeper.run('p', { kind: 'set', key, value: bytes, ttlMs: null })
    assert.deepEqual(result, { kind: 'done' })
  }

  async keys(): Promise<readonly string[]> {
    const result = await this.#keeper.run('p', { kind: 'list', prefix: '', limit: 100 })
    return result.kind === 'keys' ? result.keys : assert.fail(JSON.stringify(result))
  }

  restore(): Promise<void> {
    return this.#keeper.restore()
  }

  close(): Promise<void> {
    return this.#keeper.close()
  }
}

/** What the next process finds. */
async function found(dir: TempDir): Promise<readonly string[]> {
  const next = new Kept(dir)
  const keys = await next.keys()
  await next.close()
  return keys
}

test('KvKeeper puts back what was deleted under it, with all values, at the next request and once', async () => {
  for (const remove of [
    (kept: Kept) => rm(kept.folder, { recursive: true }),
    (kept: Kept) => rm(join(kept.folder, 'kv.db')),
    (kept: Kept) => rename(kept.folder, `${kept.folder}.moved`),
  ]) {
    await using dir = await withTempDir()
    const kept = new Kept(dir)
    await kept.set('before')
    await remove(kept)
    await Promise.all([kept.set('after'), kept.set('with it')])
    // What a process that is killed leaves is what stands there now.
    assert.deepEqual(await found(dir), ['after', 'before', 'with it'])
    assert.equal((await stat(join(kept.folder, 'kv.db'))).mode & 0o777, 0o600)
    assert.equal((await stat(kept.folder)).mode & 0o777, 0o700)
    assert.deepEqual(await kept.keys(), ['after', 'before', 'with it'])
    await kept.close()
    assert.deepEqual(await readdir(kept.folder), ['kv.db'])
    assert.equal(kept.logged.length, 1)
    assert.match(
      kept.logged[0] ?? '',
      /kv\.db, .* was deleted or moved .* made anew, with all that was in it \(values: 1\)/,
    )
  }
})

test('KvKeeper puts back what was deleted where no plugin asks any more, also when it ends', async () => {
  await using dir = await withTempDir()
  const kept = new Kept(dir)
  await kept.restore()
  assert.deepEqual(await readdir(dir.path), [], 'nobody has used it')
  await kept.set('key')
  await rm(kept.folder, { recursive: true })
  await kept.restore()
  assert.deepEqual(await found(dir), ['key'])
  await rm(kept.folder, { recursive: true })
  await kept.close()
  assert.deepEqual(await found(dir), ['key'])
})

test('KvKeeper goes on with what it can read while it cannot put it back, says so once, and does when it can', async () => {
  await using dir = await withTempDir()
  const kept = new Kept(dir)
  await kept.set('before')
  await rename(kept.folder, `${kept.folder}.moved`)
  await mkdir(join(kept.folder, 'kv.db.tmp/in the way'), { recursive: true })
  await kept.set('meanwhile')
  kept.nowMs += 1_000
  assert.deepEqual(await kept.keys(), ['before', 'meanwhile'])
  assert.equal(kept.logged.length, 1)
  assert.match(kept.logged[0] ?? '', /kv\.db, .* cannot be made anew: /)
  await rm(join(kept.folder, 'kv.db.tmp'), { recursive: true })
  kept.nowMs += 1_000
  assert.deepEqual(await kept.keys(), ['before', 'meanwhile'])
  assert.match(kept.logged[1] ?? '', /made anew, with all that was in it \(values: 2\)/)
  assert.deepEqual(await found(dir), ['before', 'meanwhile'])
  await kept.close()
})

test('KvKeeper makes no folder anew whose own folder is gone', async () => {
  await using dir = await withTempDir()
  const kept = new Kept(dir)
  await kept.set('key')
  await rm(dir.path, { recursive: true })
  await kept.close()
  await assert.rejects(stat(dir.path), { code: 'ENOENT' })
})

test('KvKeeper uses what was put in the place of its file, and leaves it as it is where that is no store', async () => {
  await using dir = await withTempDir()
  const kept = new Kept(dir)
  await kept.set('old')
  await rename(kept.folder, `${kept.folder}.moved`)
  const other = new Kept(dir)
  await other.set('new')
  await other.close()
  assert.deepEqual(await kept.keys(), ['new'])
  assert.match(kept.logged[0] ?? '', /Another file was put in the place of .*kv\.db/)
  await rm(kept.folder, { recursive: true })
  await mkdir(kept.folder)
  await writeFile(join(kept.folder, 'kv.db'), 'no store'.repeat(100))
  await assert.rejects(kept.keys(), /not a database/)
  assert.equal((await stat(join(kept.folder, 'kv.db'))).size, 800)
  await kept.close()
})
