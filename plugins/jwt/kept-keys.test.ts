import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host } from '@cardea/sdk'
import { freshnessOf, type KeptAnswer, KeptKeys } from './kept-keys.ts'

const FRESHNESS: [
  cacheControl: string | null,
  age: string | null,
  maxAgeMs: number | null,
  stored: boolean,
][] = [
  [null, null, null, true],
  ['', null, null, true],
  ['public', null, null, true],
  ['no-cache', null, null, true],
  ['max-age=60', null, 60_000, true],
  ['public, max-age=3600, must-revalidate', null, 3_600_000, true],
  ['Max-Age="60"', null, 60_000, true],
  ['max-age=0', null, 0, true],
  ['max-age=60, max-age=30', null, 30_000, true],
  ['max-age=60', '20', 40_000, true],
  ['max-age=60', '90', 0, true],
  ['max-age=60', 'soon', 60_000, true],
  ['max-age=60', '-20', 60_000, true],
  ['max-age', null, null, true],
  ['max-age=', null, null, true],
  ['max-age=-1', null, null, true],
  ['max-age=1.5', null, null, true],
  ['max-age=1e3', null, null, true],
  ['s-maxage=5', null, null, true],
  ['x-max-age=5', null, null, true],
  [`max-age=${'9'.repeat(400)}`, null, Number.MAX_SAFE_INTEGER, true],
  ['max-age=60, No-Store', null, 60_000, false],
  ['no-store', null, null, false],
]

test('freshnessOf() takes what Cache-Control and Age say, and nothing that is no number', () => {
  for (const [cacheControl, age, maxAgeMs, mayBeStored] of FRESHNESS) {
    const headers = new Headers()
    if (cacheControl !== null) headers.set('cache-control', cacheControl)
    if (age !== null) headers.set('age', age)
    assert.deepEqual(freshnessOf(headers), { maxAgeMs, mayBeStored }, `${cacheControl} ${age}`)
  }
})

const ANSWER: KeptAnswer = { text: '{"keys":[]}', fetchedAt: 1_000, maxAgeMs: null }

function fakeHost(kv: Partial<Host['kv']>) {
  const warnings: string[] = []
  const stored = new Map<string, unknown>()
  const host = {
    hash: (_: string, text: string) => `hash of ${text.length}`,
    log: { warn: (message: string) => void warnings.push(message) },
    signal: new AbortController().signal,
    kv: {
      get: async (key: string) => stored.get(key),
      set: async (key: string, value: unknown) => void stored.set(key, value),
      delete: async (key: string) => void stored.delete(key),
      list: async () => [...stored.keys()],
      ...kv,
    },
  } as unknown as Host
  return { host, warnings, stored }
}

const PLACE = new URL('https://login.example.com/jwks.json?tenant=hunter2')

test('KeptKeys gives back what it keeps, and says nothing of the URL', async () => {
  const { host, stored } = fakeHost({})
  const kept = new KeptKeys(host, PLACE)
  assert.equal(await kept.read(), null)
  await kept.write(ANSWER, 1_000)
  assert.deepEqual(await kept.read(), ANSWER)
  assert.ok(!JSON.stringify([...stored]).includes('example'))
  await kept.forget()
  assert.equal(await kept.read(), null)
})

test('KeptKeys does without what it cannot read', async () => {
  const wrong: unknown[] = [
    undefined,
    null,
    'text',
    {},
    { ...ANSWER, text: 7 },
    { ...ANSWER, fetchedAt: '1' },
    { ...ANSWER, fetchedAt: Number.NaN },
    { ...ANSWER, maxAgeMs: -1 },
    { ...ANSWER, maxAgeMs: 'long' },
    { text: ANSWER.text, fetchedAt: 1 },
  ]
  for (const value of wrong) {
    const { host } = fakeHost({ get: async () => value })
    assert.equal(await new KeptKeys(host, PLACE).read(), null)
  }
})

test('KeptKeys keeps no set that is too large, and none from before it', async () => {
  const { host, warnings } = fakeHost({})
  const kept = new KeptKeys(host, PLACE)
  await kept.write(ANSWER, 1_000)
  await kept.write({ ...ANSWER, text: ' '.repeat(60_001) }, 1_000)
  assert.equal(await kept.read(), null)
  assert.deepEqual(warnings, [])
})

test('KeptKeys never rejects, and says why it could not', async () => {
  const failing = async (): Promise<never> => {
    throw new Error('the disk is full')
  }
  const { host, warnings } = fakeHost({ get: failing, set: failing, delete: failing })
  const kept = new KeptKeys(host, PLACE)
  assert.equal(await kept.read(), null)
  await kept.write(ANSWER, 1_000)
  await kept.forget()
  assert.deepEqual(
    warnings.map((message) => message.split(':')[0]),
    ['Cannot read the keys on disk', 'Cannot keep the keys on disk', 'Cannot forget the keys on disk'],
  )
  assert.match(warnings.join(), /the disk is full/)
})
