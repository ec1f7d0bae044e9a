import { fastifyHttpProxy } from '@fastify/http-proxy'
import { fastify } from 'fastify'

/** @fastify/http-proxy as its README shows it. Usage: PORT UPSTREAM_PORT [LOG_FILE]. */

const [port, upstreamPort, logFile] = process.argv.slice(2)

const app = fastify({
  // Fastify's own request log: one line when a request comes, one when it is answered.
  logger: logFile === undefined ? false : { level: 'info', file: logFile },
  keepAliveTimeout: 3_600_000,
  bodyLimit: Number.MAX_SAFE_INTEGER,
})
await app.register(fastifyHttpProxy, {
  upstream: `http://127.0.0.1:${upstreamPort}`,
  undici: { connections: 256, pipelining: 1, keepAliveTimeout: 3_600_000, keepAliveMaxTimeout: 3_600_000 },
  replyOptions: {
    rewriteRequestHeaders: (request, headers) => ({
      ...headers,
      host: request.headers.host,
      'x-forwarded-for': request.ip,
      'x-forwarded-proto': request.protocol,
      'x-forwarded-host': request.headers.host,
    }),
    // It would hand on the upstream's Connection field, and so keep a connection that the client wants closed.
    rewriteHeaders: ({ connection, ...headers }) => headers,
  },
})
await app.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 })
process.once('SIGTERM', () => process.exit(0))
