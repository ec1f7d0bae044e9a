import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged, logLines } from './support/log-lines.ts'
import { killProcesses } from './support/processes.ts'
import { requireProgram } from './support/programs.ts'
import { TestRedis } from './support/redis.ts'
import { waitFor } from './support/wait-for.ts'

/** The plugin rate-limit where several gateways have one limit, in a Redis that the test kills. */

const WORKERS = 2
const LIMIT = 40
/** Between 0.95 and 1.05 of it. */
const ADMITTED_MIN = 38
const ADMITTED_MAX = 42

const ALGORITHMS = ['bucket', 'fixed', 'sliding'] as const

/** One route for each algorithm; next to nothing comes back during a test. */
function configOf(redis: TestRedis, onLoss: string): Record<string, unknown> {
  return {
    workers: WORKERS,
    state: { redis: redis.url, on_loss: onLoss },
    routes: ALGORITHMS.map((algorithm) => ({
      name: algorithm,
      path: `/${algorithm}`,
      respond: { status: 200 },
      plugins: { 'rate-limit': { config: { limit: LIMIT, window: '20d', algorithm, key: 'route' } } },
    })),
  }
}

function start(t: TestContext, redis: TestRedis, onLoss = 'local'): Promise<TestGateway> {
  return startGateway(t, { config: configOf(redis, onLoss) })
}

function startBoth(t: TestContext, redis: TestRedis): Promise<[TestGateway, TestGateway]> {
  return Promise.all([start(t, redis), start(t, redis)])
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

/** Each worker says it. */
function timesBack({ stderr }: TestGateway): number {
  return logLines(stderr).filter(({ message }) => String(message).startsWith('Redis is there')).length
}

/** Asks the gateways in turn until all is admitted that is there, and a little more. Resolves with how many there were. */
async function assertOneLimit(gateways: readonly TestGateway[], path: string, before = 0): Promise<number> {
  let admitted = before
  const round = async (): Promise<void> => {
    for (const gateway of gateways) admitted += await admittedOf(gateway, path, 5)
  }
  await waitFor(async () => {
    await round()
    return admitted >= ADMITTED_MIN
  }, `at least ${ADMITTED_MIN} of ${path} to be admitted`)
  for (let more = 0; more < 3; more += 1) await round()
  assert.ok(admitted <= ADMITTED_MAX, `${admitted} of ${path} admitted`)
  return admitted
}

test('rate-limit has one limit for two gateways with a Redis, that no killed process and no swap forgets', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using redis = await TestRedis.start(program)
  const [one, two] = await startBoth(t, redis)
  const admitted = {
    bucket: await assertOneLimit([one, two], '/bucket'),
    fixed: await assertOneLimit([one, two], '/fixed'),
    // All that one of them had is used up by the other one: its workers do not know that.
    sliding: await assertOneLimit([two], '/sliding', await admittedOf(one, '/sliding', 10)),
  }
  const assertStillOneLimit = async (when: string): Promise<void> => {
    for (const algorithm of ALGORITHMS) {
      const path = `/${algorithm}`
      admitted[algorithm] += (await admittedOf(one, path, 8)) + (await admittedOf(two, path, 8))
      assert.ok(admitted[algorithm] <= ADMITTED_MAX, `${admitted[algorithm]} of ${path} admitted ${when}`)
    }
  }

  await killProcesses(one.pids('cardea: supervisor'))
  await assertStillOneLimit('while there was no supervisor')
  await logged(one, /^Adopted generation/)
  await killProcesses(one.pids('cardea: worker'))
  await assertStillOneLimit('by workers that were started anew')
  await two.dir.write({
    'cardea.yaml': { ...configOf(redis, 'refuse'), listen: [{ host: '127.0.0.1', port: 0 }] },
  })
  await logged(two, /^Generation 2 is live/)
  await assertStillOneLimit('after a swap')
})

test('rate-limit goes on by itself while Redis is away, and has one limit again when it is back', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using redis = await TestRedis.start(program)
  const [one, two] = await startBoth(t, redis)
  await assertOneLimit([one, two], '/bucket')
  await redis.kill()
  await logged(one, /^Redis is away/)
  await logged(two, /^Redis is away/)
  // Each by itself.
  await assertOneLimit([one], '/fixed')
  await assertOneLimit([two], '/fixed')
  await redis.start()
  await waitFor(() => [one, two].every((gateway) => timesBack(gateway) === 2 * WORKERS), 'all to see it')
  // Until workers try it again they have what they have by themselves, of which nothing is left.
  await waitFor(
    async () => (await admittedOf(one, '/fixed', 1)) + (await admittedOf(two, '/fixed', 1)),
    'Redis',
  )
  await waitFor(async () => (await redis.command('DBSIZE')) !== ':0\r\n', 'a limit in Redis')
  await assertOneLimit([one, two], '/sliding')
})

test('rate-limit refuses everything, or nothing, while Redis is away, and leaves nothing behind when it ends', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using redis = await TestRedis.start(program)
  const [refusing, allowing] = await Promise.all([start(t, redis, 'refuse'), start(t, redis, 'allow')])
  await redis.kill()
  await logged(refusing, /^Redis is away/)
  await logged(allowing, /^Redis is away/)
  assert.equal(await admittedOf(refusing, '/bucket', 10), 0)
  assert.equal(await admittedOf(allowing, '/bucket', 2 * LIMIT), 2 * LIMIT)
  await redis.start()
  await waitFor(async () => (await admittedOf(refusing, '/bucket', 1)) === 1, 'Redis to be asked again')

  await waitFor(() => timesBack(allowing) === 2 * WORKERS, 'all to see it')
  // What its workers hold is there for the others when it ends.
  const before = await admittedOf(allowing, '/sliding', 10)
  await allowing.stop()
  await assertOneLimit([refusing], '/sliding', before)
})
