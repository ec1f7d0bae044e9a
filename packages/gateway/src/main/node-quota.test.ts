import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QuotaRequest } from '@cardea/sdk'
import { QUOTA_LIMITS } from '../config/quota-limits.ts'
import { QuotaClient } from '../plugin-host/node-services/quota-client.ts'
import { SimulatedNode } from './test-node.ts'

/** Buckets of a few tokens, where one that lies idle in the wrong worker is 5 % of the limit. */

/** Next to nothing flows in. */
const SHAPE = { key: 'k', rate: 0.001, burst: 20 }
const BETWEEN_REQUESTS_MS = 3
/** After the last request elsewhere a worker must have all that is there within this time. */
const GATHERED_MS = 400
const LATE = Math.floor(GATHERED_MS / BETWEEN_REQUESTS_MS)

function admittedOf(node: SimulatedNode, workers: readonly number[]): number {
  let admitted = 0
  for (const worker of workers) {
    if (node.services(worker).quota(SHAPE).allowed) admitted += 1
    node.advance(BETWEEN_REQUESTS_MS)
  }
  return admitted
}

/** Which worker has each request; every way of spreading the first sixteen that the bits of `pattern` name. */
function spread(pattern: number): number[] {
  return Array.from({ length: 16 }, (_, bit) => 1 + ((pattern >> bit) & 1))
}

for (const last of [1, 2]) {
  test(`quota() gives worker ${last} what the other one had use for until just now`, () => {
    for (let pattern = 0; pattern < 2 ** 16; pattern += 251) {
      const node = new SimulatedNode({ workers: 2 })
      const early = admittedOf(node, spread(pattern))
      const late = admittedOf(
        node,
        Array.from({ length: LATE }, () => last),
      )
      const admitted = early + late
      assert.ok(admitted >= 19 && admitted <= 21, `${admitted} admitted, spread as ${pattern.toString(2)}`)
    }
  })
}

/** Small for eight workers: each would have a fraction of a token. */
const WORKERS = 8
const SMALL: readonly QuotaRequest[] = [
  { key: 'k', rate: 5 / 60, burst: 5, window: null },
  { key: 'k', rate: 1 / 60, burst: 1, window: null },
  { key: 'k', rate: 5 / 60, burst: 5, window: 'fixed' },
  { key: 'k', rate: 5 / 60, burst: 5, window: 'sliding' },
  { key: 'k', rate: 20 / 60, burst: 20, cost: 10, window: null },
]

/** As a plugin asks that waits for what is elsewhere. */
async function isAdmitted(node: SimulatedNode, worker: number, request: QuotaRequest): Promise<boolean> {
  const { quota } = node.services(worker)
  let decision = quota(request)
  for (let tries = 0; tries < 5 && decision.pending !== undefined; tries += 1) {
    let isOver = false
    void decision.pending.then(() => {
      isOver = true
    })
    for (let ms = 0; ms < 1_000 && !isOver; ms += 1) {
      node.advance(1)
      await new Promise(setImmediate)
    }
    assert.ok(isOver, 'it waits for ever')
    decision = quota(request)
  }
  return decision.allowed
}

for (const request of SMALL) {
  const what = JSON.stringify(request)
  test(`quota() lets no more through when all workers are asked at once: ${what}`, async () => {
    const node = new SimulatedNode({ workers: WORKERS })
    const all = Array.from({ length: 3 * WORKERS }, (_, at) =>
      node.services(1 + (at % WORKERS)).quota(request),
    )
    let allowed = all.filter((decision) => decision.allowed).length
    const waiting = all.filter((decision) => decision.pending !== undefined)
    node.advance(200)
    await Promise.all(waiting.map(({ pending }) => pending))
    for (let at = 0; at < 3 * WORKERS; at += 1) {
      if (await isAdmitted(node, 1 + (at % WORKERS), request)) allowed += 1
    }
    assert.equal(allowed, Math.floor(request.burst / (request.cost ?? 1)))
  })
}

/** Next to nothing comes back. Four workers share each, so that the last token is rarely where it is asked for. */
const HOURLY: readonly QuotaRequest[] = [
  { key: 'k', rate: 10 / 3_600, burst: 10 },
  { key: 'k', rate: 20 / 3_600, burst: 20 },
  { key: 'k', rate: 20 / 3_600, burst: 20, window: 'fixed' },
  { key: 'k', rate: 10 / 3_600, burst: 10, window: 'sliding' },
  { key: 'k', rate: 100 / 3_600, burst: 100, cost: 10 },
]
/** Runs of each, with the requests spread in another way. */
const SPREADS = 40

for (const request of HOURLY) {
  const what = JSON.stringify(request)
  test(`quota() refuses nobody as long as any of the workers has a token: ${what}`, async () => {
    const most = request.burst / (request.cost ?? 1)
    for (let seed = 1; seed <= SPREADS; seed += 1) {
      const node = new SimulatedNode({ workers: 4 })
      let random = seed
      for (let asked = 1; asked <= most + 3; asked += 1) {
        random = Math.imul(random, 1_103_515_245) + 12_345
        const worker = 1 + ((random >>> 16) & 3)
        const isFirstOnes = asked <= most
        assert.equal(await isAdmitted(node, worker, request), isFirstOnes, `request ${asked}, seed ${seed}`)
        node.advance(BETWEEN_REQUESTS_MS)
      }
    }
  })
}

test('quota() has for each request of a small bucket what is in any of the workers', async () => {
  const node = new SimulatedNode({ workers: WORKERS })
  const request = { key: 'k', rate: 5, burst: 5 }
  for (let asked = 0; asked < 100; asked += 1) {
    assert.equal(await isAdmitted(node, 1 + ((asked * 5) % WORKERS), request), true, `request ${asked}`)
    node.advance(220)
  }
})

test('quota() does not wait for a supervisor that does not answer', async () => {
  const node = new SimulatedNode({ workers: WORKERS })
  node.killSupervisor()
  const before = node.clock.nowMs()
  assert.equal(await isAdmitted(node, 1, { key: 'k', rate: 1, burst: 1 }), false)
  assert.ok(node.clock.nowMs() - before <= 2 * QUOTA_LIMITS.waitMs)
  // By now it is known that nobody answers: a full bucket refuses nobody.
  node.advance(2 * QUOTA_LIMITS.silentMs)
  assert.equal(node.services(1).quota({ key: 'another', rate: 1, burst: 1 }).allowed, true)
})

test('quota() forgets nothing that one request uses of several keys while they make room for each other', () => {
  const workers = QUOTA_LIMITS.keysMax / 10
  for (let older = 0; older < 10; older += 1) {
    const node = new SimulatedNode({ workers: 1 })
    const client = new QuotaClient({ workers, clock: node.clock, send() {} })
    const table = client.tableOf('p')
    const once = (key: string) => ({ key, rate: 1 / 86_400, burst: 1, onFull: 'refuse' }) as const
    // Full, of keys of which nothing was used, but for those before it in the order of the table.
    for (let key = 0; key < 10; key += 1) table.take({ ...once(`${key}`), cost: key < older ? 1 : 0 })
    const both = [once(`${older}`), once('new')]
    assert.ok(table.takeAll(both).every(({ allowed }) => allowed))
    assert.equal(table.take(once(`${older}`)).allowed, false, `key ${older}`)
  }
})
