import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Context, Middleware } from '@cardea/sdk'
import { exchange, KINDS, TIMED_OUT } from './leaks/exchanges.ts'
import { ForgetfulUpstream } from './leaks/upstream.ts'
import { respond, startDataPlane, type TestDataPlane, toUpstream } from './support/data-plane.ts'
import { DEAD_PORTS } from './support/free-port.ts'
import { waitFor } from './support/wait-for.ts'

/**
 * What an exchange takes, it gives back, whatever becomes of it. The data plane runs in this process, so that its
 * handles and its heap can be counted.
 */

const REQUESTS = 10_000
/** Before the first count: what is compiled, optimised and cached once is there then. */
const WARM_UP_REQUESTS = 4_000
/** Exchanges at one time. */
const LANES = 16

/**
 * What the heap may have grown by. An exchange that is kept costs more than 1 KiB with its head and fields, 10 MiB in
 * all, and the smallest thing that could be kept of one, an entry in a Map or a listener, some 50 bytes, half a MiB.
 * Below that is noise: code that V8 optimises late, and its own tables (some 100 KiB measured).
 */
const HEAP_GROWTH_BYTES_MAX = 500_000

setFlagsFromString('--expose-gc')
// As the gateway's processes: code that is no longer used is collected.
setFlagsFromString('--no-compilation-cache')
const collectGarbage = runInNewContext('gc') as () => void

/** Does everything that a hook can do, by the path. */
const MIXED: Middleware = {
  name: 'mixed',
  handle(ctx) {
    switch (ctx.request.path.split('/').at(-1)) {
      case 'gather':
        return gather(ctx)
      case 'transform':
        ctx.request.transformBody(upperCase)
        ctx.response.transformBody(upperCase)
        return true
      case 'stream':
        ctx.request.stream(new TransformStream())
        ctx.response.stream(new TransformStream())
        return true
      case 'answer':
        return ctx.response.json({ teapot: true }, { status: 418 })
      case 'stuck':
        return new Promise(() => {})
      case 'throw':
        throw new Error('a test')
      default:
        ctx.response.headers.set('x-mixed', 'yes')
        return true
    }
  },
  async onResponse(ctx) {
    if (ctx.request.path.endsWith('late')) await turn()
  },
  onFinish() {},
}

async function gather(ctx: Context): Promise<boolean> {
  const text = await ctx.request.text()
  ctx.request.setBody(text.toUpperCase())
  return true
}

const upperCase = (chunk: Uint8Array): Uint8Array =>
  Buffer.from(Buffer.from(chunk).toString('latin1').toUpperCase())

/** Runs through all kinds of exchanges, again and again, until the gateway has had so many requests. */
async function run(port: number, requests: number): Promise<void> {
  let begun = 0
  let next = 0
  const lane = async (): Promise<void> => {
    while (begun < requests) {
      const kind = KINDS[next++ % KINDS.length]
      if (kind === undefined) return
      begun += Math.max(kind.requests, 1)
      await exchange(port, kind)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

interface Holdings {
  /** What keeps this process alive, by kind. */
  readonly resources: Readonly<Record<string, number>>
  readonly fileDescriptors: number
  readonly swept: number
  readonly connections: number
  readonly exchanges: number
  readonly pendingRequests: number
}

/** What is held once nothing goes on any more: no connection of either side, idle ones included. */
async function holdings({ plane, logged }: TestDataPlane, upstream: ForgetfulUpstream): Promise<Holdings> {
  await waitFor(
    () => upstream.connections === 0 && plane.counters().connections === 0,
    'all connections to end',
  )
  await turn()
  // The test's own notes would be taken for a leak.
  ;(logged as unknown[]).length = 0
  const { connections, exchanges } = plane.counters()
  const resources = Object.groupBy(process.getActiveResourcesInfo(), (kind) => kind)
  return {
    resources: Object.fromEntries(Object.entries(resources).map(([kind, all]) => [kind, all?.length ?? 0])),
    fileDescriptors: readdirSync('/proc/self/fd').length,
    swept: plane.sweeper.size,
    connections,
    exchanges,
    pendingRequests: plane.pendingRequests,
  }
}

async function heapBytes(): Promise<number> {
  // What is freed by one collection may hold what the next one frees: finalizers, and weak references, run in between.
  for (let round = 0; round < 3; round++) {
    collectGarbage()
    await turn()
  }
  return process.memoryUsage().heapUsed
}

test(`${REQUESTS} mixed exchanges leave no socket, timer, exchange or memory behind`, async (t) => {
  await using upstream = await ForgetfulUpstream.start()
  const nobody = `http://127.0.0.1:${DEAD_PORTS[0]}`
  const app = toUpstream('app')
  const served = await startDataPlane(t, {
    upstreams: {
      // Idle connections end soon, so that there comes a moment with none.
      app: { targets: [upstream.url], keepAliveMs: 100, ejectAfterFailures: 0 },
      nobody: { targets: [nobody], ejectAfterFailures: 0 },
    },
    plugins: [MIXED],
    routes: [
      { paths: ['/p/*'], action: app },
      { paths: ['/p/nobody'], action: toUpstream('nobody') },
      { paths: ['/nobody'], action: toUpstream('nobody'), chain: [] },
      { paths: ['/respond'], action: respond(204, ''), chain: [] },
      { paths: ['/small'], action: app, chain: [], requestBodyBytesMax: 8 },
      { paths: ['/*'], action: app, chain: [] },
    ],
  })
  await run(served.port, WARM_UP_REQUESTS)
  const before = await holdings(served, upstream)
  const heapBefore = await heapBytes()
  const total = served.plane.counters().requestsTotal
  await run(served.port, REQUESTS)
  const after = await holdings(served, upstream)
  const heapGrowth = (await heapBytes()) - heapBefore
  assert.ok(served.plane.counters().requestsTotal - total > REQUESTS * 0.8)
  assert.deepEqual(after, before)
  assert.deepEqual([after.connections, after.exchanges, after.pendingRequests], [0, 0, 0])
  t.diagnostic(`the heap grew by ${heapGrowth} bytes`)
  assert.ok(heapGrowth < HEAP_GROWTH_BYTES_MAX, `the heap grew by ${heapGrowth} bytes`)
})

test('exchanges that a deadline ends leave nothing behind either', async (t) => {
  await using upstream = await ForgetfulUpstream.start()
  const served = await startDataPlane(t, {
    upstreams: {
      app: { targets: [upstream.url], keepAliveMs: 100, responseTimeoutMs: 200, ejectAfterFailures: 0 },
    },
    // By then the start of a head must have come, from 140 clients at once in this very process: else it gets no 408.
    timeouts: { headMs: 1_000, bodyMs: 200 },
    plugins: [{ middleware: MIXED, timeoutMs: 200 }],
    routes: [
      { paths: ['/p/*'], action: toUpstream('app') },
      { paths: ['/*'], action: toUpstream('app'), chain: [] },
    ],
  })
  const before = await holdings(served, upstream)
  await Promise.all(
    TIMED_OUT.flatMap((kind) => Array.from({ length: 20 }, () => exchange(served.port, kind))),
  )
  assert.deepEqual(await holdings(served, upstream), before)
})
