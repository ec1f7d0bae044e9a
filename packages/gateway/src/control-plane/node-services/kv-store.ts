import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { GatewayError, messageOf } from '../../base/errors.ts'
import { KV_LIMITS } from '../../config/limits.ts'
import type { KvOperation, KvResult } from '../../protocol/node-services.ts'

/** Counts up when the tables change; what an older version wrote is then migrated, a newer version's refused. */
const SCHEMA_VERSION = 1

/** Keys are bytes, so that their order and their prefixes are those of UTF-8 whatever they hold. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS kv (
    plugin TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (plugin, key)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS kv_by_expiry ON kv (expires_at) WHERE expires_at IS NOT NULL;
`

const SQL = {
  get: 'SELECT value FROM kv WHERE plugin = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)',
  bytesOf: 'SELECT length(key) + length(value) AS bytes FROM kv WHERE plugin = ? AND key = ?',
  set:
    'INSERT INTO kv (plugin, key, value, expires_at) VALUES (?, ?, ?, ?) ' +
    'ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at',
  delete: 'DELETE FROM kv WHERE plugin = ? AND key = ?',
  list:
    'SELECT key FROM kv WHERE plugin = ? AND key >= ? AND key < ? AND (expires_at IS NULL OR expires_at > ?) ' +
    'ORDER BY key LIMIT ?',
  size: 'SELECT count(*) AS keys, total(length(key) + length(value)) AS bytes FROM kv WHERE plugin = ?',
  expirePlugin: 'DELETE FROM kv WHERE plugin = ? AND expires_at <= ?',
  expire:
    'DELETE FROM kv WHERE (plugin, key) IN ' +
    '(SELECT plugin, key FROM kv WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)',
} as const

type Statements = Readonly<Record<keyof typeof SQL, StatementSync>>

/** No key in UTF-8 has this byte, so it comes after all that begin alike. */
const AFTER_ALL = Buffer.of(0xff)

interface Size {
  keys: number
  bytes: number
}

/** What one plugin may keep. */
export interface KvBounds {
  readonly keysMax: number
  readonly bytesMax: number
}

/**
 * What plugins keep with `host.kv`, in one SQLite file. Every plugin sees its own keys only. Written in WAL mode: a
 * process that dies loses nothing, a power failure perhaps the last moments.
 */
export class KvStore {
  /** Null: in memory. */
  readonly #file: string | null
  readonly #identity: string | null
  readonly #database: DatabaseSync
  readonly #sql: Statements
  readonly #unixMs: () => number
  readonly #bounds: KvBounds
  /** Of plugins that have written; counted once, then kept in step. */
  readonly #sizes = new Map<string, Size>()
  /** When it was last looked for what has expired of a plugin that is at its bound. */
  readonly #expiredAt = new Map<string, number>()

  private constructor(file: string | null, database: DatabaseSync, unixMs: () => number, bounds: KvBounds) {
    this.#file = file
    this.#identity = file === null ? null : identityOf(file)
    this.#database = database
    this.#unixMs = unixMs
    this.#bounds = bounds
    this.#sql = Object.fromEntries(
      Object.entries(SQL).map(([name, text]) => [name, database.prepare(text)]),
    ) as Record<keyof typeof SQL, StatementSync>
  }

  /** Throws KV_UNAVAILABLE when the file cannot be used. `file` null: in memory, for tests of plugins. */
  static async open(
    file: string | null,
    unixMs: () => number = Date.now,
    bounds: KvBounds = KV_LIMITS,
  ): Promise<KvStore> {
    // Loaded late: who uses no kv does not hold SQLite.
    const { DatabaseSync } = await import('node:sqlite')
    let database: DatabaseSync | null = null
    try {
      if (file !== null) mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
      database = new DatabaseSync(file ?? ':memory:', { timeout: 1_000 })
      // What plugins keep may be secret; the journal's files get the same mode.
      if (file !== null) chmodSync(file, 0o600)
      prepareSchema(database)
      return new KvStore(file, database, unixMs, bounds)
    } catch (cause) {
      database?.close()
      throw new GatewayError(
        'KV_UNAVAILABLE',
        `Cannot use ${file}: ${messageOf(cause)}; mend it, or move it away to begin with an empty store`,
        { cause },
      )
    }
  }

  /** Carries out what a plugin asked for. Never throws: what fails is an answer. */
  run(plugin: string, operation: KvOperation): KvResult {
    try {
      return this.#run(plugin, operation)
    } catch (thrown) {
      // Whatever it was, the count may be wrong from now on.
      this.#sizes.delete(plugin)
      return { kind: 'failed', message: messageOf(thrown), isFull: false }
    }
  }

  /** Deletes what has expired, a bounded number of rows. Returns how many. */
  sweep(): number {
    const { changes } = this.#sql.expire.run(this.#unixMs(), KV_LIMITS.sweepRowsMax)
    if (changes > 0) this.#sizes.clear()
    return Number(changes)
  }

  /**
   * Whether its file still has its name; else SQLite goes on with one that the next process cannot find. `replaced`: another
   * one has the name.
   */
  whereabouts(): 'in place' | 'gone' | 'replaced' {
    if (this.#file === null) return 'in place'
    const found = identityOf(this.#file)
    if (found === this.#identity) return 'in place'
    return found === null ? 'gone' : 'replaced'
  }

  /**
   * Writes all that the file holds, which is gone from its place, to that place; for another store to open. Returns how many
   * values. Its folder is made anew too, but not what that was in. Throws what the disk says; then nothing has changed.
   */
  putBack(): number {
    const file = this.#file
    if (file === null) throw new TypeError('A store in memory has no place')
    const temporary = `${file}.tmp`
    if (!existsSync(dirname(file))) mkdirSync(dirname(file), { mode: 0o700 })
    try {
      rmSync(temporary, { force: true })
      // An empty file SQLite writes to; one that it makes itself others could read.
      writeFileSync(temporary, '', { mode: 0o600 })
      this.#database.prepare('VACUUM INTO ?').run(temporary)
      // Of the file that is gone: the next to open the new one would take them for its own.
      for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true })
      renameSync(temporary, file)
    } catch (error) {
      rmSync(temporary, { force: true })
      throw error
    }
    return Number(this.#database.prepare('SELECT count(*) AS keys FROM kv').get()?.keys)
  }

  close(): void {
    this.#database.close()
  }

  #run(plugin: string, operation: KvOperation): KvResult {
    switch (operation.kind) {
      case 'get': {
        const row = this.#sql.get.get(plugin, Buffer.from(operation.key), this.#unixMs())
        return { kind: 'value', value: (row?.value as Uint8Array | undefined) ?? null }
      }
      case 'set':
        return this.#set(plugin, Buffer.from(operation.key), operation.value, operation.ttlMs)
      case 'delete':
        this.#delete(plugin, Buffer.from(operation.key))
        return { kind: 'done' }
      case 'list': {
        const prefix = Buffer.from(operation.prefix)
        const end = Buffer.concat([prefix, AFTER_ALL])
        const limit = Math.min(operation.limit, KV_LIMITS.listKeysMax)
        const rows = this.#sql.list.all(plugin, prefix, end, this.#unixMs(), limit)
        return { kind: 'keys', keys: rows.map(({ key }) => Buffer.from(key as Uint8Array).toString()) }
      }
    }
  }

  #set(plugin: string, key: Buffer, value: Uint8Array, ttlMs: number | null): KvResult {
    // The worker has checked it; the bound of the disk is held here.
    if (key.length > KV_LIMITS.keyBytesMax || value.length > KV_LIMITS.valueBytesMax) {
      return { kind: 'failed', message: 'the key or the value is too large', isFull: true }
    }
    let added = this.#added(plugin, key, value)
    if (excess(this.#sizeOf(plugin), added, this.#bounds) !== null) {
      if (this.#expirePlugin(plugin)) added = this.#added(plugin, key, value)
      const full = excess(this.#sizeOf(plugin), added, this.#bounds)
      if (full !== null) return { kind: 'failed', message: full, isFull: true }
    }
    this.#sql.set.run(plugin, key, value, ttlMs === null ? null : Math.round(this.#unixMs() + ttlMs))
    const size = this.#sizeOf(plugin)
    size.keys += added.keys
    size.bytes += added.bytes
    return { kind: 'done' }
  }

  /**
   * Deletes what has expired of a plugin; returns whether there was anything. That looks at all of its keys, so that one who
   * goes on writing at the bound does not get it each time: the supervisor would do nothing else.
   */
  #expirePlugin(plugin: string): boolean {
    const now = this.#unixMs()
    if (
      Math.abs(now - (this.#expiredAt.get(plugin) ?? Number.NEGATIVE_INFINITY)) < KV_LIMITS.expirePeriodMs
    ) {
      return false
    }
    this.#expiredAt.set(plugin, now)
    const { changes } = this.#sql.expirePlugin.run(plugin, now)
    if (Number(changes) === 0) return false
    this.#sizes.delete(plugin)
    return true
  }

  /** By what the plugin's size changes when the value is set. */
  #added(plugin: string, key: Buffer, value: Uint8Array): Size {
    const before = this.#bytesOf(plugin, key)
    return { keys: before === null ? 1 : 0, bytes: key.length + value.length - (before ?? 0) }
  }

  #delete(plugin: string, key: Buffer): void {
    const before = this.#bytesOf(plugin, key)
    if (before === null) return
    this.#sql.delete.run(plugin, key)
    const size = this.#sizes.get(plugin)
    if (size === undefined) return
    size.keys -= 1
    size.bytes -= before
  }

  #bytesOf(plugin: string, key: Buffer): number | null {
    const row = this.#sql.bytesOf.get(plugin, key)
    return row === undefined ? null : Number(row.bytes)
  }

  #sizeOf(plugin: string): Size {
    let size = this.#sizes.get(plugin)
    if (size === undefined) {
      const row = this.#sql.size.get(plugin)
      size = { keys: Number(row?.keys ?? 0), bytes: Number(row?.bytes ?? 0) }
      this.#sizes.set(plugin, size)
    }
    return size
  }
}

/** Which file has that name; null for none. No other file gets this identity while somebody has it open. */
function identityOf(file: string): string | null {
  const found = statSync(file, { throwIfNoEntry: false })
  return found === undefined ? null : `${found.dev}:${found.ino}`
}

function prepareSchema(database: DatabaseSync): void {
  database.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216',
  )
  const version = Number(database.prepare('PRAGMA user_version').get()?.user_version)
  if (version > SCHEMA_VERSION) throw new Error(`a newer Cardea wrote it (version ${version})`)
  database.exec(SCHEMA)
  database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`)
}

function excess(size: Size, added: Size, { keysMax, bytesMax }: KvBounds): string | null {
  if (added.keys > 0 && size.keys + added.keys > keysMax) {
    return `it has ${size.keys.toLocaleString('en')} keys, and may have no more`
  }
  if (added.bytes > 0 && size.bytes + added.bytes > bytesMax) {
    return `it has ${size.bytes.toLocaleString('en')} bytes, and may have ${bytesMax.toLocaleString('en')}`
  }
  return null
}
