import { createWriteStream } from 'node:fs'
import { Agent, createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'

/** http-proxy as its README shows it, with a keep-alive agent. Usage: PORT UPSTREAM_PORT [LOG_FILE]. */

interface HttpProxy {
  web(request: IncomingMessage, response: ServerResponse): void
  on(
    event: 'error',
    listener: (error: Error, request: IncomingMessage, response: ServerResponse) => void,
  ): void
}

// The package ships no types.
const httpProxy = createRequire(import.meta.url)('http-proxy') as {
  createProxyServer(options: { target: string; agent: Agent; xfwd: boolean }): HttpProxy
}

const [port, upstreamPort, logFile] = process.argv.slice(2)

const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${upstreamPort}`,
  agent: new Agent({ keepAlive: true, maxSockets: 512, maxFreeSockets: 256 }),
  xfwd: true,
})
proxy.on('error', (_error, _request, response) => {
  if (!response.headersSent) response.writeHead(502)
  response.end()
})

const server: Server = createServer((request, response) => proxy.web(request, response))
if (logFile !== undefined) {
  // It has no access log of its own: a line per exchange, as an application would write it.
  const log = createWriteStream(logFile)
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const startedAt = performance.now()
    response.once('finish', () => {
      const milliseconds = (performance.now() - startedAt).toFixed(3)
      const { remoteAddress } = request.socket
      log.write(
        `${new Date().toISOString()} ${remoteAddress} ${request.method} ${request.url} ${response.statusCode} ${milliseconds}\n`,
      )
    })
  })
}
server.keepAliveTimeout = 3_600_000
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 })
process.once('SIGTERM', () => process.exit(0))
