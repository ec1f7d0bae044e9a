import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged, logLines, sayings } from './support/log-lines.ts'
import { killProcesses } from './support/processes.ts'
import { requireProgram } from './support/programs.ts'
import { TestRedis } from './support/redis.ts'
import { waitFor } from './support/wait-for.ts'

/** The plugin rate-limit where two gateways have one limit, in a Redis that the test kills. */

const WORKERS = 2
const LIMIT = 40
/** Between 0.95 and 1.05 of it. */
const ADMITTED_MIN = 38
const ADMITTED_MAX = 42

const ALGORITHMS = ['bucket', 'fixed', 'sliding'] as const
/** Each has routes, and so limits, of its own. */
const PARTS = ['deaths', 'loss', 'policies'] as const

type OnLoss = 'local' | 'allow' | 'refuse'
type Both = readonly [TestGateway, TestGateway]

/** One route for each algorithm; next to nothing comes back during a test. */
function configOf(redis: TestRedis, onLoss: OnLoss): Record<string, unknown> {
  const routes = PARTS.flatMap((part) =>
    ALGORITHMS.map((algorithm) => ({
      name: `${part}-${algorithm}`,
      path: `/${part}/${algorithm}`,
      respond: { status: 200 },
      plugins: { 'rate-limit': { config: { limit: LIMIT, window: '20d', algorithm, key: 'route' } } },
    })),
  )
  const listen = [{ host: '127.0.0.1', port: 0 }]
  return { listen, workers: WORKERS, state: { redis: redis.url, on_loss: onLoss }, routes }
}

/** Saves that config, and waits until it is live. */
async function swap(gateway: TestGateway, redis: TestRedis, onLoss: OnLoss): Promise<void> {
  const said = sayings(gateway)
  await gateway.dir.write({ 'cardea.yaml': configOf(redis, onLoss) })
  await said(/Generation \d+ is live/)
}

/** Makes Redis go away or come back, and waits until every worker has said so. */
async function untilAllSay(
  what: 'there' | 'away',
  gateways: Both,
  change: () => Promise<void>,
): Promise<void> {
  const timesSaid = ({ stderr }: TestGateway): number =>
    logLines(stderr).filter(({ message }) => String(message).startsWith(`Redis is ${what}`)).length
  const before = gateways.map(timesSaid)
  await change()
  await waitFor(
    () => gateways.every((gateway, at) => timesSaid(gateway) === (before[at] ?? 0) + WORKERS),
    `all workers to say that Redis is ${what}`,
  )
}

async function admittedOf(gateway: TestGateway, path: string, requests: number): Promise<number> {
  let admitted = 0
  for (let request = 0; request < requests; request += 1) {
    const response = await fetch(new URL(path, gateway.url), { headers: { connection: 'close' } })
    await response.bytes()
    if (response.status === 200) admitted += 1
    else assert.equal(response.status, 429)
  }
  return admitted
}

/** Asks the gateways in turn until all is admitted that is there, and a little more. Resolves with how many there were. */
async function assertOneLimit(gateways: readonly TestGateway[], path: string, before = 0): Promise<number> {
  let admitted = before
  const round = async (): Promise<void> => {
    for (const gateway of gateways) admitted += await admittedOf(gateway, path, 5)
  }
  await waitFor(async () => {
    await round()
    assert.ok(admitted >= ADMITTED_MIN, `${admitted} were`)
    return true
  }, `at least ${ADMITTED_MIN} of ${path} to be admitted`)
  for (let more = 0; more < 3; more += 1) await round()
  assert.ok(admitted <= ADMITTED_MAX, `${admitted} of ${path} admitted`)
  return admitted
}

async function assertNoDeathForgets([one, two]: Both, redis: TestRedis): Promise<void> {
  const admitted = {
    bucket: await assertOneLimit([one, two], '/deaths/bucket'),
    fixed: await assertOneLimit([one, two], '/deaths/fixed'),
    // All that one of them had is used up by the other one: its workers do not know that.
    sliding: await assertOneLimit([two], '/deaths/sliding', await admittedOf(one, '/deaths/sliding', 10)),
  }
  const assertStillOneLimit = async (when: string): Promise<void> => {
    for (const algorithm of ALGORITHMS) {
      const path = `/deaths/${algorithm}`
      admitted[algorithm] += (await admittedOf(one, path, 8)) + (await admittedOf(two, path, 8))
      assert.ok(admitted[algorithm] <= ADMITTED_MAX, `${admitted[algorithm]} of ${path} admitted ${when}`)
    }
  }
  await killProcesses(one.pids('cardea: supervisor'))
  await assertStillOneLimit('while there was no supervisor')
  await killProcesses(one.pids('cardea: worker'))
  await assertStillOneLimit('by workers that were started anew')
  await swap(two, redis, 'refuse')
  await assertStillOneLimit('after a swap')
  await logged(one, /^Adopted generation/)
}

async function assertEachByItself(gateways: Both, redis: TestRedis): Promise<void> {
  const [one, two] = gateways
  await swap(two, redis, 'local')
  await assertOneLimit(gateways, '/loss/bucket')
  await untilAllSay('away', gateways, () => redis.kill())
  await assertOneLimit([one], '/loss/fixed')
  await assertOneLimit([two], '/loss/fixed')
  await untilAllSay('there', gateways, () => redis.start())
  assert.equal(await redis.command('DBSIZE'), ':0\r\n')
  await assertOneLimit(gateways, '/loss/sliding')
  assert.notEqual(await redis.command('DBSIZE'), ':0\r\n')
}

async function assertPolicies(gateways: Both, redis: TestRedis): Promise<void> {
  const [allowing, refusing] = gateways
  await swap(allowing, redis, 'allow')
  await swap(refusing, redis, 'refuse')
  await untilAllSay('away', gateways, () => redis.kill())
  for (let asked = 0; asked < 10; asked += 1) await assertUnavailable(refusing, '/policies/bucket')
  assert.equal(await admittedOf(allowing, '/policies/bucket', 2 * LIMIT), 2 * LIMIT)
  await untilAllSay('there', gateways, () => redis.start())
  assert.equal(await admittedOf(refusing, '/policies/bucket', 1), 1)
}

/** Nobody has exceeded anything. */
async function assertUnavailable(gateway: TestGateway, path: string): Promise<void> {
  const response = await fetch(new URL(path, gateway.url), { headers: { connection: 'close' } })
  const { code } = (await response.json()) as { readonly code: string }
  const { headers, status } = response
  assert.deepEqual(
    [status, code, headers.get('retry-after'), headers.get('ratelimit')],
    [503, 'LIMITS_UNAVAILABLE', '1', null],
  )
}

async function assertNothingIsLeftBehind([ending, other]: Both): Promise<void> {
  const before = await admittedOf(ending, '/policies/sliding', 10)
  assert.equal(before, 10)
  await ending.stop()
  await assertOneLimit([other], '/policies/sliding', before)
}

test('rate-limit has one limit for two gateways with a Redis', async (t: TestContext) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using redis = await TestRedis.start(program)
  const config = configOf(redis, 'local')
  const both: Both = await Promise.all([startGateway(t, { config }), startGateway(t, { config })])
  await t.test('that no killed process and no swap forgets', () => assertNoDeathForgets(both, redis))
  await t.test('each has by itself while Redis is away, until it is back', () =>
    assertEachByItself(both, redis),
  )
  await t.test('that refuses everything, or nothing, while Redis is away, where on_loss says so', () =>
    assertPolicies(both, redis),
  )
  await t.test('to which one that ends gives back what it holds', () => assertNothingIsLeftBehind(both))
})
