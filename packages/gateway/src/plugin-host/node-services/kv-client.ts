import { randomInt } from 'node:crypto'
import { deserialize, serialize } from 'node:v8'
import type { Cloneable, KeyValueStore } from '@cardea/sdk'
import { GatewayError, messageOf } from '../../base/errors.ts'
import type { NodeClock } from '../../base/node-clock.ts'
import { KV_LIMITS } from '../../config/limits.ts'
import type { KvOperation, KvResult, NodeRequest } from '../../protocol/node-services.ts'

export interface KvClientOptions {
  readonly clock: NodeClock
  send(request: NodeRequest): void
}

interface Pending {
  readonly request: NodeRequest & { readonly kind: 'kv' }
  readonly bytes: number
  readonly cancelTimeout: () => void
  readonly resolve: (result: KvResult) => void
  readonly reject: (error: GatewayError) => void
}

/** `host.kv` in a worker: asks the supervisor, and asks its successor again what was not answered. */
export class KvClient {
  readonly #options: KvClientOptions
  readonly #pending = new Map<number, Pending>()
  #pendingBytes = 0
  /** By chance: an answer to the process that was here before us must not be taken for one to us. */
  #lastId = randomInt(2 ** 47)

  constructor(options: KvClientOptions) {
    this.#options = options
  }

  /** The store of one plugin. `isReleased`: its instance has ended. */
  storeOf(plugin: string, isReleased: () => boolean): KeyValueStore {
    const ask = async <Kind extends KvResult['kind']>(
      kind: Kind,
      operation: KvOperation,
    ): Promise<KvResult & { kind: Kind }> => {
      if (isReleased()) throw unavailable(plugin, 'the instance has stopped')
      const result = await this.#ask(plugin, operation)
      if (result.kind === kind) return result as KvResult & { kind: Kind }
      if (result.kind === 'failed' && result.isFull) throw tooMuch(plugin, result.message)
      throw unavailable(plugin, result.kind === 'failed' ? result.message : 'the answer makes no sense')
    }
    return {
      async get(key) {
        const { value } = await ask('value', { kind: 'get', key: checkedKey(plugin, key) })
        return value === null ? undefined : (deserialize(value) as unknown)
      },
      async set(key, value, { ttlMs } = {}) {
        await ask('done', {
          kind: 'set',
          key: checkedKey(plugin, key),
          value: serialised(plugin, key, value),
          ttlMs: checkedTtl(ttlMs),
        })
      },
      async delete(key) {
        await ask('done', { kind: 'delete', key: checkedKey(plugin, key) })
      },
      async list(prefix = '', limit = KV_LIMITS.listKeysDefault) {
        if (!(Number.isInteger(limit) && limit >= 0 && limit <= KV_LIMITS.listKeysMax)) {
          throw new RangeError(
            `A list of ${limit} keys is not possible; at most ${KV_LIMITS.listKeysMax} are`,
          )
        }
        const { keys } = await ask('keys', {
          kind: 'list',
          prefix: prefix === '' ? '' : checkedKey(plugin, prefix),
          limit,
        })
        return keys
      },
    }
  }

  hello(): void {
    for (const { request } of this.#pending.values()) this.#options.send(request)
  }

  receive(id: number, result: KvResult): void {
    this.#take(id)?.resolve(result)
  }

  close(): void {
    for (const { request } of [...this.#pending.values()]) {
      this.#take(request.id)?.reject(unavailable(request.plugin, 'the worker ends'))
    }
  }

  #ask(plugin: string, operation: KvOperation): Promise<KvResult> {
    const bytes = operation.kind === 'set' ? operation.value.length : 0
    const isFull =
      this.#pending.size >= KV_LIMITS.pendingMax || this.#pendingBytes + bytes > KV_LIMITS.pendingBytesMax
    if (isFull) {
      const waiting = this.#pending.size.toLocaleString('en')
      return Promise.reject(unavailable(plugin, `${waiting} requests of this worker wait for it already`))
    }
    const { promise, resolve, reject } = Promise.withResolvers<KvResult>()
    this.#lastId += 1
    const id = this.#lastId
    const cancelTimeout = this.#options.clock.after(KV_LIMITS.timeoutMs, () => {
      const reason = `no answer within ${KV_LIMITS.timeoutMs.toLocaleString('en')} ms`
      this.#take(id)?.reject(unavailable(plugin, reason))
    })
    const request = { kind: 'kv', id, plugin, operation } as const
    this.#pending.set(id, { request, bytes, cancelTimeout, resolve, reject })
    this.#pendingBytes += bytes
    this.#options.send(request)
    return promise
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    if (pending === undefined) return undefined
    this.#pending.delete(id)
    this.#pendingBytes -= pending.bytes
    pending.cancelTimeout()
    return pending
  }
}

function checkedKey(plugin: string, key: string): string {
  if (typeof key !== 'string') throw new TypeError(`A key is a string, not ${typeof key}`)
  if (key === '') throw new TypeError('A key is not empty')
  // UTF-8 writes every lone surrogate alike: two keys would be one.
  if (!key.isWellFormed()) throw new TypeError('A key is well-formed text; this one has a lone surrogate')
  const bytes = Buffer.byteLength(key)
  if (bytes > KV_LIMITS.keyBytesMax) {
    throw tooMuch(plugin, `a key has ${bytes} bytes, and may have ${KV_LIMITS.keyBytesMax}; store its hash`)
  }
  return key
}

/** Throws DataCloneError on what cannot be cloned. */
function serialised(plugin: string, key: string, value: Cloneable): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = serialize(value)
  } catch (error) {
    throw new DOMException(
      `The value of "${shown(key)}" cannot be kept: ${messageOf(error)}`,
      'DataCloneError',
    )
  }
  if (bytes.length <= KV_LIMITS.valueBytesMax) return bytes
  const size = bytes.length.toLocaleString('en')
  const most = KV_LIMITS.valueBytesMax.toLocaleString('en')
  throw tooMuch(plugin, `the value of "${shown(key)}" has ${size} bytes, and may have ${most}`)
}

function checkedTtl(ttlMs: number | undefined): number | null {
  if (ttlMs === undefined) return null
  if (ttlMs > 0 && ttlMs <= Number.MAX_SAFE_INTEGER / 2) return ttlMs
  throw new RangeError(`A value cannot live for ${ttlMs} ms; use a number above 0`)
}

function shown(key: string): string {
  return key.length <= 64 ? key : `${key.slice(0, 64)}…`
}

function unavailable(plugin: string, reason: string): GatewayError {
  return new GatewayError('KV_UNAVAILABLE', `The kv of plugin "${plugin}" did not answer: ${reason}`, {
    plugin,
  })
}

function tooMuch(plugin: string, reason: string): GatewayError {
  return new GatewayError('KV_LIMIT_EXCEEDED', `The kv of plugin "${plugin}" takes no more: ${reason}`, {
    plugin,
  })
}
