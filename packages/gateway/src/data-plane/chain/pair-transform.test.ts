import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Middleware, StreamPair } from '@cardea/sdk'
import { exchangeBench, type Hooks, type LogLine } from '../test-exchange.ts'
import { PairTransform } from './pair-transform.ts'

/** That no promise is rejected for nobody to see is the runner's to say: it fails the file. */

const NOTHING = new Uint8Array()
const OVER = { name: 'AbortError', message: 'The body does not go on' }
const bytes = (text: string) => new TextEncoder().encode(text)
const never = () => new Promise<never>(() => {})

/** Makes capitals of small letters. */
const capitals = () =>
  new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) =>
      controller.enqueue(bytes(new TextDecoder().decode(chunk).toUpperCase())),
  })

const opened = (pair = capitals()) => new PairTransform(pair, 0)

test('transform() throws when the pair is over, whatever was given to it before', async () => {
  const unused = opened()
  const halfway = opened()
  assert.deepEqual(await halfway.transform(bytes('a'), false), bytes('A'))
  const given = opened()
  await given.transform(bytes('a'), true)
  for (const pair of [unused, halfway, given]) {
    pair.abort()
    for (const last of [false, true]) assert.throws(() => pair.transform(NOTHING, last), OVER)
    assert.equal(pair.hasMore, true)
  }
})

test('abort() rejects the call that waits, also where nobody does', async () => {
  const slow = () => opened(new TransformStream({ transform: never }))
  const waited = slow()
  const call = waited.transform(bytes('a'), true)
  const forgotten = slow()
  forgotten.transform(bytes('a'), true)
  waited.abort()
  forgotten.abort()
  await assert.rejects(Promise.resolve(call), OVER)
})

test('a pair that plugin code aborts within transform() throws', () => {
  const size = () => {
    pair.abort()
    return 1
  }
  const pair: PairTransform = opened(new TransformStream({}, { size }))
  assert.throws(() => pair.transform(bytes('a'), false), OVER)
})

test('abort() of a pair that has done its work changes nothing', async () => {
  const pair = opened()
  await pair.transform(bytes('a'), true)
  while (pair.hasMore) await pair.transform(NOTHING, true)
  pair.abort()
  assert.equal(pair.hasMore, false)
  assert.equal(pair.transform(NOTHING, true), null)
})

/** An observe plugin that is passed over when `hook` times out, with a pair for the body of `way`. */
const passedOver = (way: 'request' | 'response', hook: keyof Middleware, pair: StreamPair): Hooks => ({
  plan: { category: 'observe', onFailure: { kind: 'open' }, timeoutMs: 300 },
  handle(ctx) {
    ctx[way].stream(pair)
    return true
  },
  [hook]: never,
})

test('a response goes through its pair though the onError() of its plugin timed out', async (t) => {
  const { open, clock, logs } = exchangeBench(t, {
    chain: [passedOver('response', 'onError', capitals())],
    upstream: { fault: 'closed' },
  })
  const { response, finished } = open()
  await clock.advance(2_000)
  await finished
  assert.equal((await response.head).status, 502)
  assert.match((await response.content).toString(), /"CODE":"UPSTREAM_CLOSED"/)
  assert.deepEqual(failuresIn(logs), [
    'The connection was closed: UPSTREAM_CLOSED',
    'onError failed: HOOK_TIMEOUT',
  ])
})

test('an upload goes through its pair though the onResponse() of its plugin timed out', async (t) => {
  const taken: string[] = []
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const pair = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk) {
      taken.push(new TextDecoder().decode(chunk))
      return gates[taken.length - 1]?.promise
    },
  })
  const { open, clock, logs } = exchangeBench(t, {
    chain: [passedOver('request', 'onResponse', pair)],
    upstream: { onHead: () => ({ body: ['a', { pauseMs: 2_000 }, 'b'] }) },
  })
  const client = open({ method: 'POST', streamed: true })
  client.write(Buffer.from('first'))
  await clock.advance(100)
  gates[0]?.resolve()
  await clock.advance(100)
  client.write(Buffer.from('second'))
  // The hook is passed over while the pair has the second chunk.
  await clock.advance(200)
  assert.deepEqual([taken, failuresIn(logs)], [['first', 'second'], ['onResponse failed: HOOK_TIMEOUT']])
  gates[1]?.resolve()
  await clock.advance(2_000)
  await client.finished
  assert.equal((await client.response.head).status, 200)
  assert.equal((await client.response.content).toString(), 'ab')
  assert.deepEqual(failuresIn(logs), ['onResponse failed: HOOK_TIMEOUT'])
})

const failuresIn = (logs: readonly LogLine[]): string[] =>
  logs.map(({ message, fields }) => `${message}: ${fields.code}`)
