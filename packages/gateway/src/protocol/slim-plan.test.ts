import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deserialize, serialize } from 'node:v8'
import type { BundlePlan, GenerationPlan } from './generation.ts'
import { slimPlan, wholePlan } from './slim-plan.ts'

const BUNDLES = ['a', 'b'].map(
  (codeHash): BundlePlan => ({
    codeHash,
    code: codeHash.repeat(10_000),
    sourceMap: '{}',
    entryFile: '/p.ts',
  }),
)
const PLAN = {
  number: 3,
  routes: [{ name: 'all' }],
  instances: BUNDLES.map(({ codeHash }) => ({ codeHash, quarantined: false })),
  bundles: BUNDLES,
} as unknown as GenerationPlan

const byHash = (plan: GenerationPlan) => (codeHash: string) =>
  plan.bundles.find((bundle) => bundle.codeHash === codeHash)

/** As it gets to another process. */
function sent<T>(message: T): T {
  return deserialize(serialize(message)) as T
}

test('wholePlan() makes of a slim plan what it was made of', () => {
  const slim = sent(slimPlan(PLAN, sent(PLAN)))
  assert.ok(serialize(slim).length < 1_000)
  assert.deepEqual(wholePlan(slim, byHash(PLAN)), PLAN)
})

test('slimPlan() leaves out nothing for who has nothing', () => {
  assert.equal(slimPlan(PLAN, null), PLAN)
  assert.deepEqual(
    wholePlan(sent(slimPlan(PLAN, null)), () => undefined),
    PLAN,
  )
})

test('wholePlan() is null when one of the bundles is not there', () => {
  const slim = slimPlan(PLAN, PLAN)
  const [first] = BUNDLES
  assert.equal(
    wholePlan(slim, (codeHash) => (codeHash === 'a' ? first : undefined)),
    null,
  )
})

test('slimPlan() sends a bundle that no instance runs where the receiver is', () => {
  const given = { ...PLAN, instances: PLAN.instances.slice(1) }
  assert.deepEqual(
    slimPlan(PLAN, given).bundles.map(({ code }) => code === null),
    [false, true],
  )
})
