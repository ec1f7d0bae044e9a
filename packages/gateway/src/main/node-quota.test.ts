import assert from 'node:assert/strict'
import { test } from 'node:test'
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
