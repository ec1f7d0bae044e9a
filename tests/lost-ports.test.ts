import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import type { GatewayStatus } from '../packages/gateway/src/protocol/control.ts'
import { runCommand } from './support/cardea-command.ts'
import { stopAtDecision } from './support/decisions.ts'
import { freePort } from './support/free-port.ts'
import type { TestGateway } from './support/gateway.ts'
import { logged, sayings } from './support/log-lines.ts'
import {
  bodyAt,
  configOf,
  givePort,
  type PortSettings,
  savePorts,
  serves,
  startOnPorts,
  takePort,
} from './support/ports.ts'
import { killProcesses, signalProcesses } from './support/processes.ts'
import { waitFor } from './support/wait-for.ts'

/** Ports of what is committed on which another program listens. */

const SUPERVISOR = 'cardea: supervisor'

/** Saves, and stops the supervisor at the decision: what is new is bound by now, and nobody listens on it. Returns its pid. */
async function decide(gateway: TestGateway, settings: PortSettings): Promise<number> {
  const [supervisor = 0] = gateway.pids(SUPERVISOR)
  const isDecided = stopAtDecision(gateway.dir, supervisor)
  await savePorts(gateway, settings)
  await isDecided
  return supervisor
}

/** Makes that change while another program takes the ports from it that are to be lost. Returns what gives each of them back. */
async function lose(t: TestContext, gateway: TestGateway, settings: PortSettings, lost: readonly number[]) {
  const said = sayings(gateway)
  const supervisor = await decide(gateway, settings)
  const others = await Promise.all(lost.map((port) => takePort(t, port)))
  signalProcesses([supervisor], 'SIGCONT')
  for (const port of lost)
    await said(new RegExp(`Cannot listen on 127\\.0\\.0\\.1:${port}: .* All else serves`))
  // In all workers: the first that cannot listen says so for all.
  await said(/Generation \d+ is live/)
  return others.map((other) => () => givePort(other))
}

async function statusOf(t: TestContext, { dir }: TestGateway): Promise<GatewayStatus> {
  const { stdout } = await runCommand(t, ['status', '--json'], { cwd: dir.path })
  return JSON.parse(stdout) as GatewayStatus
}

const portsOf = (addresses: readonly { readonly port: number }[]): number[] =>
  addresses.map(({ port }) => port)

/** Resolves when status lists these as served, and those as lost. */
async function listed(
  t: TestContext,
  gateway: TestGateway,
  served: readonly number[],
  lost: readonly number[],
) {
  return waitFor(async () => {
    const status = await statusOf(t, gateway)
    const ports = [portsOf(status.addresses), portsOf(status.lostAddresses)]
    return isDeepStrictEqual(ports, [served, lost]) && status
  }, `status to list ${served.join()} as served and ${lost.join()} as lost`)
}

test('status says what is not listened on, why, since when and what to do, of a supervisor that starts meanwhile too', async (t) => {
  const [one, two, three] = [await freePort(), await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [one], body: 'one' })
  const before = Date.now()
  const [giveTwo, giveThree] = await lose(t, gateway, { ports: [one, two, three], body: 'two' }, [two, three])
  const { lostAddresses } = await listed(t, gateway, [one], [two, three])
  const reason = (port: number): string =>
    `Cannot listen on 127.0.0.1:${port}: the address is in use. Choose another port, or stop what uses it.`
  for (const { port, since, ...lost } of lostAddresses) {
    const told = { host: '127.0.0.1', reason: reason(port), systemCode: 'EADDRINUSE', retryMs: 1_000 }
    assert.deepEqual(lost, told)
    assert.ok(since >= before && since <= Date.now())
  }
  const { stdout } = await runCommand(t, ['status'], { cwd: gateway.dir.path })
  assert.match(
    stdout,
    new RegExp(`^Not listened on\n  http://127\\.0\\.0\\.1:${two} \\(EADDRINUSE, since `, 'm'),
  )
  assert.doesNotMatch(stdout, new RegExp(`^  http://127\\.0\\.0\\.1:(${two}|${three})$`, 'm'))

  const said = sayings(gateway)
  await killProcesses(gateway.pids(SUPERVISOR))
  await said(/Adopted generation 2/)
  assert.deepEqual((await listed(t, gateway, [one], [two, three])).lostAddresses, lostAddresses)

  await giveTwo?.()
  await said(new RegExp(`"level":"warn".*Listening on 127\\.0\\.0\\.1:${two} now`))
  await listed(t, gateway, [one, two], [three])
  await giveThree?.()
  await listed(t, gateway, [one, two, three], [])
  assert.deepEqual([await bodyAt(two), await bodyAt(three)], ['two', 'two'])
})

test('a port that is lost is wanted no more once a save or a rollback has given it up', async (t) => {
  const [one, two] = [await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [one], body: 'one' })
  const giveUp = [
    () => savePorts(gateway, { ports: [one], body: 'three' }),
    () => runCommand(t, ['rollback'], { cwd: gateway.dir.path }),
  ]
  for (const next of giveUp) {
    const [give] = await lose(t, gateway, { ports: [one, two], body: `two` }, [two])
    await listed(t, gateway, [one], [two])
    const said = sayings(gateway)
    await next()
    await said(/Generation \d+ is live/)
    await listed(t, gateway, [one], [])
    await give?.()
    // Whoever wants it now can have it.
    await givePort(await takePort(t, two))
  }
  // Another one that is lost meanwhile has the retries going on.
  const three = await freePort()
  const [give] = await lose(t, gateway, { ports: [one, three], body: 'three' }, [three])
  await give?.()
  await serves(three, 'three')
  assert.equal(await bodyAt(two), null)
  assert.doesNotMatch(gateway.stderr, new RegExp(`Listening on 127\\.0\\.0\\.1:${two} now|Worker \\d+ ended`))
})

test('a change that needs a lost port on another address says that it is in use, not that the gateway has it', async (t) => {
  const [one, two] = [await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [one], body: 'one' })
  await lose(t, gateway, { ports: [one, two], body: 'two' }, [two])
  const said = sayings(gateway)
  const config = configOf({ ports: [one], body: 'three' })
  const listen = [...config.listen, { host: '0.0.0.0', port: two }]
  await gateway.dir.write({ 'cardea.yaml': { ...config, listen } })
  const failed = await said(/The change failed at stage, generation 2 serves on: .*/)
  assert.match(failed, new RegExp(`Cannot listen on 0\\.0\\.0\\.0:${two}: the address is in use`))
  await listed(t, gateway, [one], [two])
})

test('a gateway that drains while a port of it is lost ends as always, and status names no address any more', async (t) => {
  const [one, two] = [await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [one], body: 'one' })
  const go = join(gateway.dir.path, 'go')
  await gateway.dir.write({
    'plugins/waits/plugin.json': { name: 'waits', version: '1.0.0', timeout_ms: 60_000 },
    'plugins/waits/plugin.ts': `import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
export const PluginMain = () => ({
  name: 'waits',
  async handle(ctx) {
    if (ctx.request.path === '/wait') writeFileSync('${go}-reached', '')
    while (ctx.request.path === '/wait' && !existsSync('${go}')) await sleep(5)
    return true
  },
})`,
  })
  await logged(gateway, /^Generation 2 is live/)
  const [give] = await lose(t, gateway, { ports: [one, two], body: 'two' }, [two])
  const answer = fetch(`http://127.0.0.1:${one}/wait`).then((response) => response.text())
  await waitFor(() => existsSync(`${go}-reached`), 'the request to be under way')
  const ended = gateway.stop()
  await logged(gateway, /^Received SIGTERM: draining/)
  await give?.()
  await listed(t, gateway, [], [])
  await gateway.dir.write({ go: '' })
  assert.equal(await answer, 'two')
  assert.deepEqual(await ended, { code: 0, signal: null })
  assert.doesNotMatch(gateway.stderr, /Listening on .* now/)
})

test('a port that another program takes before a supervisor rolls forward is tried again, and all else is as decided', async (t) => {
  const [old, kept, lost, fresh] = [await freePort(), await freePort(), await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [old, kept], body: 'one' })
  const said = sayings(gateway)
  const supervisor = await decide(gateway, { ports: [kept, lost, fresh], body: 'two' })
  const other = await takePort(t, lost)
  await killProcesses([supervisor])
  await said(/Adopted generation 2/)
  await serves(kept, 'two')
  await serves(fresh, 'two')
  await serves(old, null)
  assert.match(
    await said(/Cannot listen on .* All else serves/),
    new RegExp(`:${lost}: the address is in use`),
  )
  await listed(t, gateway, [kept, fresh], [lost])
  await givePort(other)
  await said(new RegExp(`Listening on 127\\.0\\.0\\.1:${lost} now`))
  assert.deepEqual([await bodyAt(lost), await bodyAt(old)], ['two', null])
})

test('a port that is not the one the predecessor opened, and is taken, is tried again just so', async (t) => {
  const [old, lost, fresh] = [await freePort(), await freePort(), await freePort()]
  const gateway = await startOnPorts(t, { ports: [old], body: 'one' })
  const said = sayings(gateway)
  const file = join(gateway.dir.path, 'port')
  await gateway.dir.write({ port: `${fresh}` })
  const config = configOf({ ports: [old], body: 'two' })
  const [supervisor = 0] = gateway.pids(SUPERVISOR)
  const isDecided = stopAtDecision(gateway.dir, supervisor)
  const listen = [...config.listen, { host: '127.0.0.1', port: `\${file:${file}}` }]
  await gateway.dir.write({ 'cardea.yaml': { ...config, listen } })
  await isDecided
  // What is decided is made again of the config as it was, and of what that refers to by now.
  await gateway.dir.write({ port: `${lost}` })
  const other = await takePort(t, lost)
  await killProcesses([supervisor])
  await said(/Adopted generation 2/)
  await said(new RegExp(`Cannot listen on 127\\.0\\.0\\.1:${lost}: .* All else serves`))
  await serves(old, 'two')
  await givePort(other)
  await serves(lost, 'two')
  assert.equal(await bodyAt(fresh), null)
})
