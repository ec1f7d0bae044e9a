import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Leaf, PathTree } from './path-tree.ts'
import { parsePathPattern } from './pattern.ts'

const LEAVES = 500
const pattern = parsePathPattern('/a')

/** What `add` looks at is counted, leaf by leaf. */
function looksWhileAdding(partsOf: (index: number) => Pick<Leaf<number>, 'methods' | 'headers'>): number {
  const tree = new PathTree<number>()
  let looks = 0
  for (let index = 0; index < LEAVES; index++) {
    const { methods, headers } = partsOf(index)
    tree.add({
      bound: index,
      pattern,
      get methods() {
        looks++
        return methods
      },
      get headers() {
        looks++
        return headers
      },
    })
  }
  return looks
}

const oneHeader = (index: number) => [{ name: 'tenant', value: `t${index}` }]
const kinds: readonly [string, (index: number) => Pick<Leaf<number>, 'methods' | 'headers'>][] = [
  ['headers', (index) => ({ methods: [], headers: oneHeader(index) })],
  ['headers of few methods', (index) => ({ methods: ['GET', 'POST'], headers: oneHeader(index) })],
  ['methods', (index) => ({ methods: [`M${index}`], headers: [] })],
  [
    'how many headers they want',
    (index) => ({ methods: ['GET'], headers: Array(index % 50).fill({ name: 'a', value: null }) }),
  ],
]

describe('PathTree.add()', () => {
  for (const [told, partsOf] of kinds) {
    it(`looks at few of the leaves of one path that are told apart by ${told}`, () => {
      // A search for its place in each of the lists that it goes to, not all of them once more.
      assert.ok(looksWhileAdding(partsOf) <= LEAVES * 100)
    })
  }
})
