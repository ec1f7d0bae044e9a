import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { get, post } from './support/answers.ts'
import { startGateway } from './support/gateway.ts'
import { logged } from './support/log-lines.ts'
import { killProcesses, signalProcesses } from './support/processes.ts'
import { withTempDir } from './support/temp-dir.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'
import { placeOf } from './watchdog/blocker.ts'
import { answerOn, BODY, isQuarantined, QUARANTINED, STALLED, stallOf, WORKER } from './watchdog/blocking.ts'
import { type Case, nameOf, STALL_MS, startStage } from './watchdog/stage.ts'

/** What else comes of a plugin that blocks a worker: when, where and whose it is that blocks. */

test('what is answered in the turn in which the next request of the connection blocks is finished too', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get('/') + get(`/block/${nameOf(one)}`) + get('/'))
  assert.equal((await connection.response()).text, 'got 0 bytes')
  assert.deepEqual(await answerOn(connection), STALLED)
  await connection.reader.takeRest()
  await logged(gateway, /^The replaced worker has ended$/)
  assert.ok(!gateway.stderr.includes('were cut'))
})

test('a stall that the supervisor never heard of is not lost on the one that follows', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  const supervisors = gateway.pids('cardea: supervisor')
  signalProcesses(supervisors, 'SIGSTOP')
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get(`/block/${nameOf(one)}`))
  assert.deepEqual(await answerOn(connection), STALLED)
  await stallOf(stage, nameOf(one))
  await killProcesses(supervisors)
  await isQuarantined(stage, nameOf(one))
})

test('a native call that does not return costs its worker, and its plugin is quarantined all the same', async (t) => {
  const one: Case = { hook: 'handle', form: 'native' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(post(BODY, `/block/${nameOf(one)}`))
  assert.equal(await answerOn(connection), null)
  const line = await logged(
    gateway,
    /^Worker \d is ended by its watchdog: its main thread is in a native call/,
  )
  assert.equal(line.plugin, nameOf(one))
  await isQuarantined(stage, nameOf(one))
  const later = await TestConnection.open(t, gateway.port)
  await later.write(get(`/block/${nameOf(one)}`))
  assert.deepEqual(await answerOn(later), QUARANTINED)
})

test('a PluginMain that blocks in a worker that starts is ended, and the next one starts without it', async (t) => {
  const one: Case = { hook: 'start', form: 'spin' }
  await using dir = await withTempDir()
  const stage = await startStage(t, [one], { env: { BLOCKER_FLAG: join(dir.path, 'flag') } })
  const { gateway } = stage
  await dir.write({ flag: '' })
  const [killed = 0, kept = 0] = gateway.pids(WORKER)
  await killProcesses([killed])
  const line = await stallOf(stage, nameOf(one))
  assert.match(String(line.stack), placeOf(one.form))
  await isQuarantined(stage, nameOf(one))
  await waitFor(
    () => gateway.pids(WORKER).length === 2 && gateway.pids(WORKER).includes(kept),
    'another worker to stay',
  )
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get(`/block/${nameOf(one)}`))
  assert.deepEqual(await answerOn(connection), QUARANTINED)
})

/** Blocks in the very turn in which its generation goes live, in workers only: the trial lets it pass. */
const MIGRATING = `export const PluginMain = (config, host) => {
  host.state('counter', 2, () => {
    if (process.title.startsWith('cardea: worker')) for (;;);
    return {}
  })
  return { name: 'blocker', handle: () => true }
}
`

test('a migration of state that blocks is ended; its generation is served, without its plugin', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  await gateway.dir.write({ 'plugins/blocker-security/plugin.ts': MIGRATING })
  await isQuarantined(stage, nameOf(one))
  const connection = await TestConnection.open(t, gateway.port)
  await waitFor(async () => {
    const another = await TestConnection.open(t, gateway.port)
    await another.write(get(`/block/${nameOf(one)}`, 'Connection: close\r\n'))
    const answer = await answerOn(another)
    return answer?.said === 'PLUGIN_QUARANTINED'
  }, 'the new code to be quarantined')
  await connection.write(get('/'))
  assert.equal((await connection.response()).text, 'got 0 bytes')
})

test('a stall limit can be set while the gateway runs', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one], { config: { faults: { stall: '1h' } } })
  const { gateway } = stage
  const config = await readFile(join(gateway.dir.path, 'cardea.yaml'), 'utf8')
  await gateway.dir.write({ 'cardea.yaml': config.replace('"1h"', '"300ms"') })
  await logged(gateway, /^Generation 2 is live/)
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get(`/block/${nameOf(one)}`))
  assert.deepEqual(await answerOn(connection), STALLED)
})

test('a worker that was suspended is not taken for one that a plugin blocks', async (t) => {
  const one: Case = { hook: 'handle', form: 'spin' }
  const stage = await startStage(t, [one])
  const { gateway } = stage
  const workers = gateway.pids(WORKER)
  signalProcesses(workers, 'SIGSTOP')
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get('/'))
  const end = performance.now() + 3 * STALL_MS
  await waitFor(
    () => performance.now() > end,
    'longer than the limit, by the clock of everybody but the workers',
  )
  signalProcesses(workers, 'SIGCONT')
  assert.equal((await connection.response()).text, 'got 0 bytes')
  assert.deepEqual(gateway.pids(WORKER), workers)
  assert.ok(!gateway.stderr.includes('PLUGIN_STALLED'))
})

/** Its callback is code that no file holds, so nobody can say whose it is. */
const NAMELESS = {
  'plugin.json': { name: 'nameless', version: '1.0.0', scope: 'route' },
  'plugin.ts': `export const PluginMain = (config, host) => ({
    name: 'nameless',
    handle(ctx) {
      setTimeout(new Function('for (;;);'), 0)
      return ctx.response.json({})
    },
  })`,
}

test('what blocks and is no plugin by its stack is logged and not ended', async (t) => {
  const gateway = await startGateway(t, {
    config: {
      workers: 2,
      routes: [{ name: 'nameless', path: '/*', respond: { status: 200 }, plugins: { nameless: {} } }],
      faults: { stall: '300ms' },
      timeouts: { drain: '1s' },
    },
    plugins: { nameless: NAMELESS },
  })
  const workers = gateway.pids(WORKER)
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get('/'))
  const line = await logged(gateway, /^The event loop of worker \d stands still, and no plugin is to blame$/)
  assert.ok(Array.isArray(line.where))
  assert.deepEqual(gateway.pids(WORKER), workers)
  assert.deepEqual(await gateway.stop(), { code: 1, signal: null })
})
