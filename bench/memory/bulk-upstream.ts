import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { SMALL_BODY } from '../scenarios.ts'
import { bytesOf, readSlowly } from './pace.ts'

/**
 * Sends a large body as fast as it is taken (GET /bulk), or reads one slowly (POST /bulk) and answers with the number
 * of bytes it got. Other paths get the small answer, as from the usual upstream. Usage: PORT BYTES.
 */

const [port, bytes] = process.argv.slice(2)

const server = createServer((request, response) => {
  if (request.url !== '/bulk') {
    response.setHeader('content-length', SMALL_BODY.length)
    response.end(SMALL_BODY)
  } else if (request.method === 'GET') {
    response.writeHead(200, { 'content-length': bytes })
    Readable.from(bytesOf(Number(bytes))).pipe(response)
  } else {
    readSlowly(request).then(
      (read) => response.end(String(read)),
      () => response.destroy(),
    )
  }
})
server.requestTimeout = 0
server.listen(Number(port), '127.0.0.1')
process.once('SIGTERM', () => process.exit(0))
