import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SimulatedNode } from './test-node.ts'

/**
 * A flood of keys that nobody has seen before, as from an attacker with many addresses. All of the node, two workers and
 * the supervisor, is in this process. `CARDEA_QUOTA_KEYS=10000000` is the full size, with which windows take
 * a third more.
 */

const KEYS = Number(process.env.CARDEA_QUOTA_KEYS ?? 200_000)
const KEYS_PER_MS = 100
const BYTES_MAX = 64e6
const LOOKS = 20

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function usedBytes(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

for (const window of [null, 'fixed', 'sliding'] as const) {
  test(`quota() bounds what a flood of keys takes, and forgets no key that is used up (${window ?? 'bucket'})`, (t) => {
    const node = new SimulatedNode({ workers: 2 })
    const quotas = [1, 2].map((worker) => node.services(worker).quota)
    const ask = (at: number, key: string): boolean =>
      quotas[at % 2]?.({ key, rate: 20 / 3_600, burst: 20, window, onFull: 'share' }).allowed ?? false
    const before = usedBytes()
    let ofUsedUp = 0
    for (let asked = 0; asked < 100; asked += 1) {
      if (ask(asked, 'used up')) ofUsedUp += 1
      node.advance(2)
    }
    let mostBytes = 0
    let admitted = 0
    for (let key = 0; key < KEYS; key += 1) {
      const name = `2001:db8:${key.toString(16)}`
      if (ask(key, name)) admitted += 1
      // Of these the supervisor has to know.
      if (key % 4 === 0) for (let more = 0; more < 3; more += 1) ask(key, name)
      if (key % KEYS_PER_MS === 0) node.advance(1)
      if (key % Math.floor(KEYS / LOOKS) !== 0) continue
      node.said.length = 0
      mostBytes = Math.max(mostBytes, usedBytes() - before)
      for (const at of [0, 1]) if (ask(at, 'used up')) ofUsedUp += 1
    }
    t.diagnostic(`${(mostBytes / 1e6).toFixed(1)} MB for ${KEYS} keys`)
    assert.ok(mostBytes <= BYTES_MAX, `${(mostBytes / 1e6).toFixed(1)} MB`)
    // What flows back into it meanwhile.
    const back = window === null ? ((KEYS / KEYS_PER_MS / 1_000) * 20) / 3_600 : 0
    assert.ok(ofUsedUp <= 21 + back, `${ofUsedUp} of the key that was used up`)
    // The first ones had buckets of their own; the others share some, and their limit.
    assert.ok(admitted > 0 && admitted < KEYS, `${admitted} admitted`)
  })
}
