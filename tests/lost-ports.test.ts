import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { stopAtDecision } from './support/decisions.ts'
import { freePort } from './support/free-port.ts'
import type { TestGateway } from './support/gateway.ts'
import { sayings } from './support/log-lines.ts'
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
import { killProcesses } from './support/processes.ts'

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
