import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { askGateway } from '../packages/gateway/src/cli/control-client.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged } from './support/log-lines.ts'
import { newConnections } from './support/new-connections.ts'
import { haveEnded, killProcesses, signalProcesses } from './support/processes.ts'
import { RecordingUpstream } from './support/recording-upstream.ts'
import { waitFor } from './support/wait-for.ts'

/** What each process is for shows when it dies. */

const WORKER = 'cardea: worker'
const SUPERVISOR = 'cardea: supervisor'

const startWith = (t: TestContext, upstream: RecordingUpstream, workers = 1): Promise<TestGateway> =>
  startGateway(t, { config: configFor(upstream, workers) })

const configFor = (upstream: RecordingUpstream, workers: number) => ({
  workers,
  upstreams: { app: { targets: [upstream.url] } },
  routes: [{ name: 'app', path: '/*', upstream: 'app' }],
})

/** Blocks its worker's event loop for ever. */
const BLOCKER = {
  'plugin.json': { name: 'blocker', version: '1.0.0' },
  'plugin.ts': `export const PluginMain = () => ({ name: 'blocker', handle(ctx) { ctx.log.info('blocking'); for (;;); } })`,
}

test('a killed worker is replaced, and no connection is refused meanwhile', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const gateway = await startWith(t, upstream)
  const killed = gateway.pids(WORKER)
  assert.equal(killed.length, 1)
  await using clients = newConnections(gateway.port, 4)
  await clients.traffic()
  await killProcesses(killed)
  await clients.traffic()
  await clients.stop()
  assert.deepEqual(clients.refused, [])
  // The dead worker's own connections are cut, and there were never more than these.
  assert.ok(clients.cut <= 4, `${clients.cut} connections were cut`)
  assert.equal(gateway.pids(WORKER).length, 1)
  assert.notDeepEqual(gateway.pids(WORKER), killed)
  await logged(gateway, /^Worker 1 ended: SIGKILL$/)
})

test('a connection that comes while there is no worker is served by the next', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const gateway = await startWith(t, upstream)
  // The first successor comes at once, the second after a pause.
  for (let round = 1; round <= 2; round++) {
    await killProcesses(gateway.pids(WORKER))
    const response = await fetch(gateway.url, { headers: { connection: 'close' } })
    assert.deepEqual([response.status, await response.text()], [200, 'ok'])
  }
})

test('a killed supervisor is replaced by one that adopts; traffic never notices', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const gateway = await startWith(t, upstream, 2)
  const workers = gateway.pids(WORKER)
  const killed = gateway.pids(SUPERVISOR)
  const status = () => askGateway({ command: 'status' }, { directory: gateway.dir.path, who: 'test' })
  const { startedAt } = await status()
  await using clients = newConnections(gateway.port, 4)
  await clients.traffic()
  await killProcesses(killed)
  await logged(gateway, /^Adopted generation 1$/)
  await clients.traffic()
  await clients.stop()
  assert.deepEqual([clients.refused, clients.cut], [[], 0])
  // A process that it has just forked looks like it until it runs its own program.
  await waitFor(() => gateway.pids(SUPERVISOR).length === 1, 'one supervisor')
  assert.notDeepEqual(gateway.pids(SUPERVISOR), killed)
  assert.deepEqual(gateway.pids(WORKER), workers)
  assert.equal((await status()).startedAt, startedAt)
})

/** Its hook is never done in time, so that one call opens its breaker. */
const IDLER = {
  'plugin.json': { name: 'idler', version: '1.0.0', category: 'security', timeout_ms: 10 },
  'plugin.ts': `export const PluginMain = () => ({ name: 'idler', handle: () => new Promise(() => {}) })`,
}

test('a supervisor that follows another knows which breakers are open', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const faults = { breaker_calls_min: 1, breaker_open: '1h' }
  const gateway = await startGateway(t, {
    config: { ...configFor(upstream, 1), faults },
    plugins: { idler: IDLER },
  })
  const state = async () => {
    const { instances } = await askGateway(
      { command: 'status' },
      { directory: gateway.dir.path, who: 'test' },
    )
    return instances[0]?.state
  }
  await fetch(gateway.url)
  await waitFor(async () => (await state()) === 'breaker-open', 'the breaker to open')
  await killProcesses(gateway.pids(SUPERVISOR))
  await logged(gateway, /^Adopted generation 1$/)
  await waitFor(async () => (await state()) === 'breaker-open', 'the next supervisor to know of it')
})

test('what a breaker does is in the log', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const faults = { breaker_calls_min: 1, breaker_open: '10ms' }
  const once = `let calls = 0
    export const PluginMain = () => ({ name: 'idler', handle: () => calls++ > 0 || new Promise(() => {}) })`
  const gateway = await startGateway(t, {
    config: { ...configFor(upstream, 1), log: { level: 'info', format: 'json' }, faults },
    plugins: { idler: { ...IDLER, 'plugin.ts': once } },
  })
  const ask = async (): Promise<number> => (await fetch(gateway.url)).status
  assert.equal(await ask(), 503)
  const { level, plugin, worker } = await logged(
    gateway,
    /^The breaker of "idler" is open: 1 of 1 call timed out\. Its on_failure decides until a probe/,
  )
  assert.deepEqual([level, plugin, worker], ['error', 'idler', 1])
  await logged(gateway, /^The breaker of "idler" is half-open/)
  await waitFor(async () => (await ask()) === 200, 'the probe')
  assert.equal((await logged(gateway, /^The breaker of "idler" is closed/)).level, 'info')
})

test('a worker killed while no supervisor answers serves the committed generation again', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const gateway = await startWith(t, upstream)
  signalProcesses(gateway.pids(SUPERVISOR), 'SIGSTOP')
  await killProcesses(gateway.pids(WORKER))
  const response = await fetch(gateway.url, { headers: { connection: 'close' } })
  assert.deepEqual([response.status, await response.text()], [200, 'ok'])
})

test('a killed master leaves no process behind', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const gateway = await startWith(t, upstream, 2)
  const children = gateway.pids()
  assert.equal(children.length, 4, 'supervisor, two workers, and the trial process that waits for a change')
  await killProcesses([gateway.pid])
  await haveEnded(children)
})

test('a master and a supervisor that are killed at once leave no process behind', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const gateway = await startWith(t, upstream, 2)
  const children = gateway.pids()
  // Who would end the workers is gone: they have to see by themselves that they are orphans.
  await killProcesses([gateway.pid, ...gateway.pids('cardea: supervisor')])
  await haveEnded(children)
})

test('a killed master leaves not even a worker behind whose event loop is blocked', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const gateway = await startGateway(t, {
    config: configFor(upstream, 1),
    plugins: { blocker: BLOCKER },
  })
  const children = gateway.pids()
  const request = assert.rejects(fetch(gateway.url))
  await logged(gateway, /^blocking$/)
  await killProcesses([gateway.pid])
  await haveEnded(children)
  await request
})
