import { Client } from '../smuggling/client.ts'

/** A plugin that is bound to a route as users bind them, and requests of every spelling to walk past it. */

/** Marks what it has seen. */
export const GUARD = {
  'plugin.json': { name: 'guard', version: '1.0.0', scope: 'route', category: 'security' },
  'plugin.ts': `import type { PluginMain } from '@cardea/sdk'

export const PluginMain: PluginMain = () => ({
  name: 'guard',
  handle(ctx) {
    ctx.request.headers.set('x-guarded', 'yes')
    return true
  },
})
`,
}

/** At one time on one connection each; a request that is refused with the connection costs a new one. */
const LANES = 8

/** Sends GET requests, by whatever they are called, and returns the status of each answer. */
export async function sendAll(
  port: number,
  heads: Iterable<readonly [name: string, head: string]>,
): Promise<Map<string, number>> {
  const statuses = new Map<string, number>()
  const next = heads[Symbol.iterator]()
  const lane = async (): Promise<void> => {
    let client = new Client(port)
    for (let item = next.next(); item.done !== true; item = next.next()) {
      const [name, head] = item.value
      if (client.closed) client = replaced(client, port)
      client.received = ''
      await client.send([head])
      await client.until(() => client.responses(['GET']).length === 1)
      statuses.set(name, client.responses(['GET'])[0]?.status ?? 0)
      if (/\r\nconnection: close\r\n/.test(client.received)) client = replaced(client, port)
    }
    client.destroy()
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return statuses
}

function replaced(client: Client, port: number): Client {
  client.destroy()
  return new Client(port)
}
