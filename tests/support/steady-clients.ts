import type { TestContext } from 'node:test'
import { TestConnection } from './test-connection.ts'
import { waitFor } from './wait-for.ts'

/** Clients that send one request after the other, each on a connection that they keep as long as the gateway does. */
export interface SteadyClients {
  readonly answered: number
  /** Requests without a whole answer of status 200, and connections that were closed without `Connection: close`. */
  readonly faults: readonly string[]
  /** Resolves when 20 more have been answered. */
  traffic(): Promise<void>
  stop(): Promise<void>
}

export function steadyClients(t: TestContext, port: number, clients: number, path = '/'): SteadyClients {
  let answered = 0
  let isStopped = false
  const faults: string[] = []

  async function useConnection(): Promise<void> {
    const connection = await TestConnection.open(t, port)
    while (!isStopped) {
      await connection.request('GET', path)
      const response = await connection.response()
      if (response.status === 200) answered++
      else faults.push(response.statusLine)
      if (response.field('connection') === 'close') break
    }
    connection.socket.destroy()
  }

  async function client(): Promise<void> {
    while (!isStopped) await useConnection().catch((error) => faults.push(String(error)))
  }

  const all = Promise.all(Array.from({ length: clients }, client))
  return {
    get answered() {
      return answered
    },
    faults,
    async traffic() {
      const goal = answered + 20
      await waitFor(() => answered >= goal, `answers; ${answered} so far, faults: ${faults.join()}`)
    },
    async stop() {
      isStopped = true
      await all
    },
  }
}
