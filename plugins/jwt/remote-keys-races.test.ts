import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host, State } from '@cardea/sdk'
import type { Bounds } from './config.ts'
import { RemoteKeys } from './remote-keys.ts'
import { jwks, signer } from './test-bench.ts'

/** What several instances have in common, and what may hang. */

const [known, unknown] = [await signer('ES256', 'known'), await signer('ES256', 'unknown')]
const URL_OF_KEYS = new URL('https://login.example.com/jwks.json')
const BOUNDS: Bounds = {
  clockSkewMs: 0,
  tokenBytesMax: 8_192,
  cacheAgeMs: 60_000,
  keysAgeMs: 60_000,
  keysAgeLongestMs: 60_000,
  keysStaleMs: 60_000,
  cooldownMs: 30_000,
  fetchTimeoutMs: 5_000,
}

/** Instances of one worker: each `open` is another one, with a host that can stop. */
function worker(kv: Partial<Host['kv']>, fetch: (signal: AbortSignal) => Promise<Response>) {
  const states = new Map<string, State<unknown>>()
  const open = () => {
    const stopped = new AbortController()
    const host = {
      log: { warn() {} },
      signal: stopped.signal,
      hash: () => 'hash',
      setTimeout: () => ({ cancel() {} }),
      fetch: (_: URL, init: RequestInit) =>
        fetch(AbortSignal.any([stopped.signal, init.signal as AbortSignal])),
      state(name: string, _: number, create: () => unknown) {
        const state = states.get(name) ?? { value: create() }
        states.set(name, state)
        return state
      },
      kv: { get: async () => undefined, set: async () => {}, delete: async () => {}, ...kv },
    } as unknown as Host
    return {
      keys: new RemoteKeys(URL_OF_KEYS, host, BOUNDS),
      stop: () => stopped.abort(new Error('stopped')),
    }
  }
  return { open }
}

const published = async () => new Response(jwks(known))

test('keys that the URL has given are used, also while the disk does not answer', async () => {
  const { open } = worker({ get: () => new Promise(() => {}) }, published)
  const { keys } = open()
  assert.equal((await keys.find('ES256', 'known')).length, 1)
  assert.equal((await keys.find('ES256', 'unknown')).length, 0)
})

test('the disk is waited for when the URL is down, however fast that says so', async () => {
  const gate = Promise.withResolvers<unknown>()
  const { open } = worker({ get: () => gate.promise }, () => Promise.reject(new TypeError('refused')))
  const finding = open().keys.find('ES256', 'known')
  await new Promise((resolve) => setImmediate(resolve))
  gate.resolve({ text: jwks(known), fetchedAt: Date.now(), maxAgeMs: null })
  assert.equal((await finding).length, 1)
  await assert.rejects(open().keys.find('ES256', unknown.kid), { name: 'KeysUnavailable' })
})

test('who waits for what another instance fetches asks itself when that one stops', async () => {
  let asked = 0
  const { open } = worker({}, (signal) => {
    asked++
    if (asked > 1) return published()
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error))
    })
  })
  const [old, next] = [open(), open()]
  const abandoned = old.keys.find('ES256', 'known')
  const waiting = Promise.all([1, 2, 3].map(() => next.keys.find('ES256', 'known')))
  await new Promise((resolve) => setImmediate(resolve))
  old.stop()
  assert.deepEqual(
    (await waiting).map(({ length }) => length),
    [1, 1, 1],
  )
  assert.equal(asked, 2)
  await abandoned.catch(() => {})
})
