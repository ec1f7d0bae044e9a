import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'

const PRODUCTS = [
  { id: 1, name: 'Brass hinge', price: 4.5 },
  { id: 2, name: 'Door knocker', price: 28 },
]

/** The service behind the gateway: a shop with three pages, on a free port of 127.0.0.1. */
export async function startUpstream(): Promise<Server> {
  const server = createServer((request, response) => {
    switch (request.url) {
      case '/':
        return answer(response, 200, { shop: 'Hinges & Co.', see: ['/products', '/admin/orders'] })
      case '/products':
        return answer(response, 200, PRODUCTS)
      case '/admin/orders':
        return answer(response, 200, [{ order: 17, product: 2, customer: 'Janus' }])
      default:
        return answer(response, 404, { error: 'There is no such page in this shop' })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function answer(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`)
}
