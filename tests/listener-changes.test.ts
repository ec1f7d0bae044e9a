import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { SteppedPlugin } from './recovery/stepped-plugin.ts'
import { runCommand } from './support/cardea-command.ts'
import { stopAtDecision } from './support/decisions.ts'
import { freePort } from './support/free-port.ts'
import { logged, sayings } from './support/log-lines.ts'
import { bodyAt, configOf, givePort, savePorts, serves, startOnPorts, takePort } from './support/ports.ts'
import { killProcesses, signalProcesses } from './support/processes.ts'
import { withTempDir } from './support/temp-dir.ts'
import { TestConnection } from './support/test-connection.ts'

/** Listeners come and go while the gateway runs; what cannot change says so. */

const SUPERVISOR = 'cardea: supervisor'

async function ask(connection: TestConnection): Promise<string> {
  await connection.request('GET', '/')
  return (await connection.response()).text
}

test('a listener moves to another port, and the connections of the old one live on', async (t) => {
  const [one, two] = [await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [one], body: 'one' })
  const connections = await Promise.all(Array.from({ length: 6 }, () => TestConnection.open(t, one)))
  for (const connection of connections) assert.equal(await ask(connection), 'one')

  await savePorts(gateway, { ports: [one, two], body: 'both' })
  await serves(two, 'both')
  assert.equal(await bodyAt(one), 'both')

  const said = sayings(gateway)
  await savePorts(gateway, { ports: [two], body: 'two' })
  // The old port closes first, and then one worker after the other serves what is new.
  await said(/Generation 3 is live/)
  await serves(one, null)
  assert.equal(await bodyAt(two), 'two')
  for (const connection of connections) assert.equal(await ask(connection), 'two')

  // A worker that starts now knows the new ones.
  await killProcesses(gateway.pids('cardea: worker'))
  await serves(two, 'two')
  assert.equal(await bodyAt(one), null)
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
})

test('a listener that cannot be opened fails the change, and all of it; freeing the port and saving heals', async (t) => {
  const one = await freePort()
  const taken = await freePort()
  const other = await takePort(t, taken)
  const free = await freePort()
  const gateway = await startOnPorts(t, { ports: [one], body: 'one' })
  const said = sayings(gateway)
  await savePorts(gateway, { ports: [one, free, taken], body: 'two' })
  assert.match(
    await said(/The change failed at stage, generation 1 serves on: .*/),
    new RegExp(`Cannot listen on 127\\.0\\.0\\.1:${taken}: the address is in use`),
  )
  // Not even the one that could be had stays open.
  assert.deepEqual([await bodyAt(one), await bodyAt(free)], ['one', null])
  await givePort(other)
  await savePorts(gateway, { ports: [one, free, taken], body: 'three' })
  // One worker comes to it after the other.
  await said(/Generation \d+ is live/)
  assert.deepEqual([await bodyAt(one), await bodyAt(free), await bodyAt(taken)], ['three', 'three', 'three'])
})

test('a port that another program takes between binding and listening cuts nothing, and is served once it is free', async (t) => {
  const [one, two] = [await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [one], body: 'one' })
  const connection = await TestConnection.open(t, one)
  assert.equal(await ask(connection), 'one')
  const [supervisor = 0] = gateway.pids(SUPERVISOR)
  const isDecided = stopAtDecision(gateway.dir, supervisor)
  const said = sayings(gateway)
  await savePorts(gateway, { ports: [one, two], body: 'two' })
  await isDecided
  // It is bound by now, which lets others bind it too.
  const other = await takePort(t, two)
  signalProcesses([supervisor], 'SIGCONT')
  await said(
    new RegExp(`Cannot listen on 127\\.0\\.0\\.1:${two}: the address is in use\\..* All else serves`),
  )
  await serves(one, 'two')
  assert.equal(await ask(connection), 'two')
  // Nor is a later change in its way.
  await savePorts(gateway, { ports: [one, two], body: 'three' })
  await serves(one, 'three')
  await givePort(other)
  await said(new RegExp(`Listening on 127\\.0\\.0\\.1:${two} now`))
  await serves(two, 'three')
  assert.equal(await ask(connection), 'three')
  assert.doesNotMatch(gateway.stderr, /Worker \d+ ended/)
})

test('status names the listeners that serve, not those of a change that failed', async (t) => {
  const [old, next] = [await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [old], body: 'one' })
  // Fails only in a worker: then the new listener has been opened already.
  await gateway.dir.write({
    'cardea.yaml': configOf({ ports: [next], body: 'two' }),
    'plugins/picky/plugin.json': { name: 'picky', version: '1.0.0' },
    'plugins/picky/plugin.ts': `export const PluginMain = () => {
  if (process.title.startsWith('cardea: worker')) throw new Error('not here')
  return { name: 'picky', handle: () => true }
}`,
  })
  await logged(gateway, /^The change failed at stage/)
  const { stdout } = await runCommand(t, ['status'], { cwd: gateway.dir.path })
  assert.match(stdout, new RegExp(`^  http://127\\.0\\.0\\.1:${old}$`, 'm'))
  assert.doesNotMatch(stdout, new RegExp(`:${next}$`, 'm'))
  assert.equal(await bodyAt(next), null)
})

test('another number of workers is noted, and takes effect at the next start', async (t) => {
  const port = await freePort()
  const gateway = await startOnPorts(t, { ports: [port], body: 'one' })
  const workers = gateway.pids('cardea: worker')
  const said = sayings(gateway)
  await savePorts(gateway, { ports: [port], body: 'two', workers: 3 })
  await said(/workers: 3 takes effect when the gateway is started again; 2 run until then/)
  await serves(port, 'two')
  assert.deepEqual(gateway.pids('cardea: worker'), workers)
})

test('a change of listeners that dies with its supervisor opens nothing, whatever comes next', async (t) => {
  const steps = await withTempDir()
  t.after(() => steps[Symbol.asyncDispose]())
  const plugin = new SteppedPlugin(join(steps.path, 'steps'))
  const [one, two] = [await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [one], body: 'one' })
  const files = await plugin.files(1, 'start', ['worker-1', 'worker-2'])
  await gateway.dir.write({
    'cardea.yaml': configOf({ ports: [two], body: 'never' }),
    'plugins/stepped/plugin.json': files['plugin.json'],
    'plugins/stepped/plugin.ts': files['plugin.ts'],
  })
  // The new listener is bound by now, and waits for the commit.
  await plugin.reached(1, 'start', 1)
  const said = sayings(gateway)
  await savePorts(gateway, { ports: [one], body: 'two' })
  await killProcesses(gateway.pids(SUPERVISOR))
  await plugin.release(1, 'start')
  await said(/Generation \d+ is live/)
  await serves(one, 'two')
  assert.equal(await bodyAt(two), null)
})

test('a change of listeners that was decided goes live although its supervisor died', async (t) => {
  const [one, two] = [await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [one], body: 'one' })
  const [supervisor = 0] = gateway.pids(SUPERVISOR)
  const isDecided = stopAtDecision(gateway.dir, supervisor)
  await savePorts(gateway, { ports: [two], body: 'two' })
  await isDecided
  await killProcesses([supervisor])
  await serves(two, 'two')
  await serves(one, null)
})
