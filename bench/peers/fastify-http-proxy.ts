import { fileURLToPath } from 'node:url'
import { packageVersion } from './node-package.ts'
import type { Peer } from './peer.ts'

const SERVER = fileURLToPath(new URL('servers/fastify-http-proxy.ts', import.meta.url))

export const fastifyHttpProxy: Peer = {
  name: 'fastify-http-proxy',
  title: '@fastify/http-proxy',
  variants: ['plain', 'logging'],
  install: 'npm ci',
  find: () => packageVersion('@fastify/http-proxy'),
  async prepare({ directory, port, upstreamPort, variant }) {
    const logFile = variant === 'logging' ? [`${directory}/access.log`] : []
    return {
      command: process.execPath,
      args: [SERVER, String(port), String(upstreamPort), ...logFile],
      env: { NODE_ENV: 'production' },
    }
  },
}
