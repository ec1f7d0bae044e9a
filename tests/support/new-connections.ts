import { setImmediate as turn } from 'node:timers/promises'
import { rawExchange } from './raw-exchange.ts'
import { waitFor } from './wait-for.ts'

const REQUEST = 'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'

/** Clients that open one connection after the other, a request on each, until they are stopped. */
export interface NewConnections extends AsyncDisposable {
  readonly answered: number
  /** Accepted, and closed or reset without a whole answer. */
  readonly cut: number
  /** Never accepted: the errors. */
  readonly refused: readonly string[]
  /** Resolves when 20 more have been answered. */
  traffic(): Promise<void>
  stop(): Promise<void>
}

export function newConnections(port: number, clients: number): NewConnections {
  let answered = 0
  let cut = 0
  let isStopped = false
  const refused: string[] = []
  const exchange = async (): Promise<void> => {
    try {
      const { text } = await rawExchange(port, REQUEST)
      if (text.startsWith('HTTP/1.1 200 ') && text.endsWith('ok')) answered++
      else cut++
    } catch (error) {
      refused.push(String(error))
    }
  }
  const client = async (): Promise<void> => {
    while (!isStopped) {
      await exchange()
      await turn()
    }
  }
  const all = Promise.all(Array.from({ length: clients }, client))
  const stop = async (): Promise<void> => {
    isStopped = true
    await all
  }
  return {
    get answered() {
      return answered
    },
    get cut() {
      return cut
    },
    refused,
    async traffic() {
      const goal = answered + 20
      await waitFor(() => answered >= goal, `answers; ${answered} so far, refused: ${refused.join()}`)
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
