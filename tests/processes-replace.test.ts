import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { type GatewayOptions, startGateway, type TestGateway } from './support/gateway.ts'
import { logged } from './support/log-lines.ts'
import { newConnections } from './support/new-connections.ts'
import { haveEnded, haveEndedWith, isAlive, killProcesses, signalProcesses } from './support/processes.ts'
import { RecordingUpstream } from './support/recording-upstream.ts'
import { steadyClients } from './support/steady-clients.ts'
import { waitFor } from './support/wait-for.ts'

/** A worker that asks for it is replaced by another, and nobody notices. */

const WORKER = 'cardea: worker'
const SUPERVISOR = 'cardea: supervisor'

/**
 * Has its worker ask for a successor. Its PluginMain fails while the file `broken` in its folder says so; where `hanging` is
 * there, its worker asks while it starts, and gets no further. That happens once.
 */
const REPLACER = {
  'plugin.json': { name: 'replacer', version: '1.0.0' },
  'plugin.ts': `
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = dirname(fileURLToPath(import.meta.url))
const broken = join(folder, 'broken')
const hanging = join(folder, 'hanging')

export const PluginMain = async () => {
  if (process.title.includes('worker') && existsSync(hanging)) {
    rmSync(hanging)
    process.send({ kind: 'replace-me', reason: \`\${process.pid} is no better\` })
    await new Promise(() => {})
  }
  if (existsSync(broken) && readFileSync(broken, 'utf8') === 'yes') throw new Error('this folder is broken')
  return {
    name: 'replacer',
    handle(ctx) {
      if (ctx.request.path !== '/replace') return true
      process.send({ kind: 'replace-me', reason: 'a test asks for it' })
      return ctx.response.json({ pid: process.pid })
    },
  }
}
`,
}

async function start(t: TestContext, config: GatewayOptions['config'] = {}): Promise<TestGateway> {
  const upstream = await RecordingUpstream.start()
  t.after(() => upstream[Symbol.asyncDispose]())
  return startGateway(t, {
    config: {
      workers: 1,
      upstreams: { app: { targets: [upstream.url] } },
      routes: [{ name: 'app', path: '/*', upstream: 'app' }],
      ...(config as object),
    },
    plugins: { replacer: REPLACER },
  })
}

/** Returns the process that asked. */
async function askForReplacement(gateway: TestGateway): Promise<number> {
  const response = await fetch(`${gateway.url}/replace`, { headers: { connection: 'close' } })
  const { pid } = (await response.json()) as { pid: number }
  await logged(gateway, /^Worker 1 is being replaced: a test asks for it$/)
  return pid
}

/** The workers that live now, but for one. */
const others = (gateway: TestGateway, pid: number) => gateway.pids(WORKER).filter((other) => other !== pid)

async function openWebSocket(t: TestContext, port: number): Promise<(text: string) => Promise<void>> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/socket`)
  t.after(() => client.terminate())
  await once(client, 'open')
  return async (text) => {
    client.send(text)
    const [echo] = await once(client, 'message')
    assert.equal(String(echo), text)
  }
}

test('replacing a worker under load loses no request and cuts no WebSocket', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.after(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  server.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))))
  await once(server, 'listening')
  const upstream = await RecordingUpstream.start()
  t.after(() => upstream[Symbol.asyncDispose]())
  const echo = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const gateway = await start(t, {
    workers: 2,
    upstreams: { app: { targets: [upstream.url] }, echo: { targets: [echo] } },
    routes: [
      { name: 'app', path: '/*', upstream: 'app' },
      { name: 'socket', path: '/socket', upstream: 'echo' },
    ],
  })
  const before = gateway.pids(WORKER)
  const sockets = await Promise.all(Array.from({ length: 8 }, () => openWebSocket(t, gateway.port)))
  const kept = steadyClients(t, gateway.port, 4)
  await using fresh = newConnections(gateway.port, 4)
  await Promise.all([kept.traffic(), fresh.traffic()])

  const replaced = new Set<number>()
  await waitFor(async () => {
    const response = await fetch(`${gateway.url}/replace`, { headers: { connection: 'close' } })
    replaced.add(((await response.json()) as { pid: number }).pid)
    return before.every((pid) => replaced.has(pid))
  }, 'both workers to have asked for a successor')
  await waitFor(
    () => gateway.pids(WORKER).filter((pid) => !before.includes(pid)).length >= 2,
    'the successors to be there',
  )
  await Promise.all([kept.traffic(), fresh.traffic()])
  for (const [index, send] of sockets.entries()) await send(`still here ${index}`)
  await Promise.all([kept.stop(), fresh.stop()])
  assert.deepEqual([kept.faults, fresh.refused, fresh.cut], [[], [], 0])

  for (const client of server.clients) client.close()
  await haveEnded(before)
  await logged(gateway, /^The replaced worker has ended$/)
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
})

test('a replaced worker serves on until a successor can start', async (t) => {
  const gateway = await start(t)
  await gateway.dir.write({ 'plugins/replacer/broken': 'yes' })
  const replaced = await askForReplacement(gateway)
  const clients = steadyClients(t, gateway.port, 2)
  await waitFor(
    () => gateway.stderr.split('Starting worker 1 again').length > 2,
    'the successor to have failed twice',
  )
  await clients.traffic()
  assert.ok(isAlive(replaced))
  await gateway.dir.write({ 'plugins/replacer/broken': 'no' })
  await haveEnded([replaced])
  await clients.traffic()
  await clients.stop()
  assert.deepEqual(clients.faults, [])
  assert.equal(others(gateway, replaced).length, 1)
})

test('a worker that dies while it is replaced has one successor, not two', async (t) => {
  const gateway = await start(t)
  signalProcesses(gateway.pids(SUPERVISOR), 'SIGSTOP')
  const replaced = await askForReplacement(gateway)
  await killProcesses([replaced])
  await logged(gateway, /^The replaced worker ended before its successor listened: SIGKILL$/)
  const response = await fetch(gateway.url, { headers: { connection: 'close' } })
  assert.deepEqual([response.status, await response.text()], [200, 'ok'])
  assert.equal(gateway.pids(WORKER).length, 1)
})

test('a replaced worker drains although its successor asked for one itself, and died before it listened', async (t) => {
  const gateway = await start(t)
  await gateway.dir.write({ 'plugins/replacer/hanging': '' })
  const replaced = await askForReplacement(gateway)
  const { message } = await logged(gateway, /^Worker 1 is being replaced: \d+ is no better$/)
  const successor = Number(/(\d+) is no better$/.exec(String(message))?.[1])
  assert.ok(others(gateway, replaced).includes(successor))
  await killProcesses([successor])
  await haveEnded([replaced])
  assert.equal(others(gateway, replaced).length, 1)
  const response = await fetch(gateway.url, { headers: { connection: 'close' } })
  assert.deepEqual([response.status, await response.text()], [200, 'ok'])
})

test('a supervisor that starts while a worker is replaced adopts the successor', async (t) => {
  const gateway = await start(t)
  const replaced = await askForReplacement(gateway)
  await killProcesses(gateway.pids(SUPERVISOR))
  const { workers } = await logged(gateway, /^Adopted generation 1$/)
  assert.deepEqual(workers, [1])
  await haveEnded([replaced])
  assert.equal(gateway.pids(WORKER).length, 1)
})

test('SIGTERM while a worker is replaced ends all of them, exit code 0', async (t) => {
  const gateway = await start(t)
  const replaced = await askForReplacement(gateway)
  const processes = gateway.processes()
  assert.ok(processes.some(({ pid }) => pid === replaced))
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  await haveEndedWith(gateway.pid, processes)
})

test('a killed master leaves neither a replaced worker nor its successor behind', async (t) => {
  const gateway = await start(t)
  const replaced = await askForReplacement(gateway)
  await waitFor(() => others(gateway, replaced).length === 1, 'the successor to be there')
  const pids = gateway.pids()
  await killProcesses([gateway.pid])
  await haveEnded(pids)
})
