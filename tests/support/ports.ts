import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import type { TestContext } from 'node:test'
import { STOPS_AT_DECISION } from './decisions.ts'
import { startGateway, type TestGateway } from './gateway.ts'
import { waitFor } from './wait-for.ts'

/** Gateways that listen on several ports, and whoever else wants them. */

export interface PortSettings {
  readonly ports: readonly number[]
  /** Of every answer. */
  readonly body: string
  readonly workers?: number
}

export const configOf = ({ ports, body, workers = 2 }: PortSettings) => ({
  listen: ports.map((port) => ({ host: '127.0.0.1', port })),
  workers,
  debug: true,
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body } }],
})

export async function startOnPorts(t: TestContext, settings: PortSettings): Promise<TestGateway> {
  return startGateway(t, { config: configOf(settings), env: STOPS_AT_DECISION })
}

export const savePorts = (gateway: TestGateway, settings: PortSettings): Promise<void> =>
  gateway.dir.write({ 'cardea.yaml': configOf(settings) })

/** Null: nobody listens. */
export async function bodyAt(port: number): Promise<string | null> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })
    return await response.text()
  } catch {
    return null
  }
}

export const serves = (port: number, body: string | null): Promise<boolean> =>
  waitFor(async () => (await bodyAt(port)) === body, `${body} on port ${port}`)

/** Another program that listens there: one that is bound to the port, and does not listen, does not keep it away. */
export async function takePort(t: TestContext, port: number): Promise<Server> {
  const other = createServer((socket) => socket.destroy()).listen(port, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  return other
}

export async function givePort(other: Server): Promise<void> {
  other.close()
  await once(other, 'close')
}
