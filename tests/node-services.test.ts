import assert from 'node:assert/strict'
import { readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startGateway, startGatewayIn, type TestGateway } from './support/gateway.ts'
import { logged, logLines } from './support/log-lines.ts'
import { killProcesses, signalProcesses } from './support/processes.ts'
import { waitFor } from './support/wait-for.ts'

/** What plugins share across the workers of a node, in a gateway of two workers. */

const PLUGIN = `
import type { Plugin } from '@cardea/sdk'

export const PluginMain: Plugin = (_config, host) => {
  const lines = host.sink('requests.log')
  host.once('leader', async (signal) => {
    await host.kv.set('leader', process.pid)
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
  })
  return {
    name: 'shared',
    async handle(ctx) {
      const { path, query } = ctx.request
      lines.write(path)
      if (path === '/set') {
        await host.kv.set(query.get('key') ?? '', query.get('value') ?? '')
        return ctx.response.json('set')
      }
      if (path === '/get') return ctx.response.json({ pid: process.pid, value: (await host.kv.get(query.get('key') ?? '')) ?? null })
      const { allowed } = host.quota({ key: path, rate: 0.001, burst: 20 })
      return ctx.response.json(allowed, { status: allowed ? 200 : 429 })
    },
  }
}
`

async function start(t: TestContext): Promise<TestGateway> {
  return startGateway(t, {
    config: { workers: 2, routes: [{ name: 'all', path: '/*', respond: { status: 404 } }] },
    plugins: {
      shared: {
        'plugin.json': { name: 'shared', version: '1.0.0', permissions: ['kv', 'sink'], timeout_ms: 10_000 },
        'plugin.ts': PLUGIN,
      },
    },
  })
}

async function ask(gateway: TestGateway, path: string): Promise<{ status: number; body: unknown }> {
  // A connection each: both workers have their share.
  const response = await fetch(new URL(path, gateway.url), { headers: { connection: 'close' } })
  return { status: response.status, body: await response.json() }
}

/** Between 0.95 and 1.05 of the burst of 20. */
const ADMITTED_MIN = 19
const ADMITTED_MAX = 21

async function admittedOf(gateway: TestGateway, path: string, requests: number): Promise<number> {
  let admitted = 0
  for (let request = 0; request < requests; request++) {
    if ((await ask(gateway, path)).status === 200) admitted += 1
  }
  return admitted
}

/**
 * Asks until all is admitted that is there, and a little more. What one worker holds must get to where the requests come
 * in, which takes its time on a machine that is busy; nothing to speak of flows in meanwhile.
 */
async function assertLimit(gateway: TestGateway, path: string): Promise<number> {
  let admitted = 0
  await waitFor(async () => {
    admitted += await admittedOf(gateway, path, 10)
    return admitted >= ADMITTED_MIN
  }, `at least ${ADMITTED_MIN} to be admitted`)
  admitted += await admittedOf(gateway, path, 20)
  assert.ok(admitted <= ADMITTED_MAX, `${admitted} admitted`)
  return admitted
}

async function killSupervisor(gateway: TestGateway): Promise<void> {
  await killProcesses(gateway.pids('cardea: supervisor'))
  await logged(gateway, /^Adopted generation/)
}

test('host.kv is one store for all workers, and outlives the supervisor and a swap of code', async (t) => {
  const gateway = await start(t)
  await ask(gateway, '/set?key=a&value=1')
  const seenBy = new Set<unknown>()
  await waitFor(async () => {
    const { pid, value } = (await ask(gateway, '/get?key=a')).body as { pid: number; value: string }
    assert.equal(value, '1')
    return seenBy.add(pid).size === 2
  }, 'both workers to answer')
  await killSupervisor(gateway)
  assert.deepEqual(((await ask(gateway, '/get?key=a')).body as { value: string }).value, '1')
  await gateway.dir.write({ 'plugins/shared/plugin.ts': `${PLUGIN}\n/* next */ export const next = 1\n` })
  await logged(gateway, /^Generation 2 is live/)
  assert.deepEqual(((await ask(gateway, '/get?key=a')).body as { value: string }).value, '1')
})

test('host.kv keeps its values where .cardea is deleted while the gateway runs, and says so', async (t) => {
  const gateway = await start(t)
  await ask(gateway, '/set?key=before&value=1')
  // The gateway puts its files back meanwhile.
  await rm(join(gateway.dir.path, '.cardea'), { recursive: true, maxRetries: 5 })
  // Before the gateway can be asked again, without a request.
  await logged(gateway, /The control socket had been removed and is opened again/)
  const warned = logLines(gateway.stderr).map(({ message }) => String(message))
  assert.ok(
    warned.some((message) =>
      /kv\.db, where host\.kv keeps its values, was deleted .* made anew/.test(message),
    ),
  )
  await ask(gateway, '/set?key=after&value=2')
  await killProcesses([gateway.pid, ...gateway.pids()])
  const next = await startGatewayIn(t, gateway.dir)
  for (const [key, value] of [
    ['before', '1'],
    ['after', '2'],
  ]) {
    assert.equal(((await ask(next, `/get?key=${key}`)).body as { value: string }).value, value)
  }
})

test('host.quota is one limit for all workers, that neither a swap nor a supervisor that dies forgets', async (t) => {
  const gateway = await start(t)
  // The last tokens may lie in the other worker until then: what counts is that all of it is one limit.
  let admitted = await assertLimit(gateway, '/one')
  await killSupervisor(gateway)
  admitted += await admittedOf(gateway, '/one', 20)
  assert.ok(admitted <= ADMITTED_MAX, `${admitted} admitted with a supervisor killed`)
  await gateway.dir.write({ 'plugins/shared/plugin.ts': `${PLUGIN}\n/* next */ export const next = 1\n` })
  await logged(gateway, /^Generation 2 is live/)
  admitted += await admittedOf(gateway, '/one', 20)
  assert.ok(admitted <= ADMITTED_MAX, `${admitted} admitted with a swap`)
  await assertLimit(gateway, '/other')
})

test('host.sink has every line of both workers when the gateway has ended', async (t) => {
  const gateway = await start(t)
  await Promise.all(Array.from({ length: 100 }, (_, index) => ask(gateway, `/line/${index}`)))
  await gateway.stop()
  const text = await readFile(join(gateway.dir.path, 'logs/requests.log'), 'utf8')
  const lines = text.split('\n').slice(0, -1)
  assert.deepEqual(lines.toSorted(), Array.from({ length: 100 }, (_, index) => `/line/${index}`).toSorted())
})

test('host.once runs in one worker, and in another when that one dies', async (t) => {
  const gateway = await start(t)
  const leader = async (): Promise<number> =>
    ((await ask(gateway, '/get?key=leader')).body as { value: number }).value
  const first = await waitFor(leader, 'a leader')
  assert.ok(gateway.pids('cardea: worker').includes(first))
  await killProcesses([first])
  const second = await waitFor(async () => {
    const now = await leader()
    return now !== first && now
  }, 'another leader')
  assert.ok(gateway.pids('cardea: worker').includes(second))
})

test('SIGHUP makes both workers go on in a new file where the old one was moved away, and ends nothing', async (t) => {
  const gateway = await start(t)
  const file = join(gateway.dir.path, 'logs/requests.log')
  const written = (path: string, count: number) =>
    waitFor(
      async () => (await readFile(path, 'utf8')).split('\n').length > count,
      `${count} lines in ${path}`,
    )
  await Promise.all(Array.from({ length: 40 }, () => ask(gateway, '/before')))
  await written(file, 40)
  await rename(file, `${file}-moved`)
  signalProcesses([gateway.pid], 'SIGHUP')
  await logged(gateway, /^Received SIGHUP/)
  // Whatever a worker had open before, by now it writes under the name.
  await waitFor(async () => {
    await Promise.all(Array.from({ length: 20 }, () => ask(gateway, '/after')))
    return (await readFile(file, 'utf8')).includes('/after')
  }, 'lines in the new file')
  assert.doesNotMatch(await readFile(file, 'utf8'), /before/)
  const before = gateway.pids()
  await ask(gateway, '/still')
  assert.deepEqual(gateway.pids(), before)
})
