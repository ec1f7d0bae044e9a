import { fileURLToPath } from 'node:url'
import { packageVersion } from './node-package.ts'
import type { Peer } from './peer.ts'

const SERVER = fileURLToPath(new URL('servers/http-proxy.ts', import.meta.url))

export const httpProxy: Peer = {
  name: 'http-proxy',
  title: 'http-proxy',
  variants: ['plain', 'logging'],
  install: 'npm ci',
  find: () => packageVersion('http-proxy'),
  async prepare({ directory, port, upstreamPort, variant }) {
    const logFile = variant === 'logging' ? [`${directory}/access.log`] : []
    return {
      command: process.execPath,
      args: ['--disable-warning=DEP0060', SERVER, String(port), String(upstreamPort), ...logFile],
      env: { NODE_ENV: 'production' },
    }
  },
}
