import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { firstLineOf } from '../processes.ts'
import type { Variant } from '../scenarios.ts'
import type { Peer } from './peer.ts'

const BIN = fileURLToPath(new URL('../../packages/gateway/bin/cardea.js', import.meta.url))
const PLUGINS = new URL('../plugins/', import.meta.url)

/** The plugin folders that each variant finds beside its config. */
export const PLUGINS_OF: Readonly<Record<Variant, readonly string[]>> = {
  plain: [],
  // access-log is built in.
  logging: [],
  plugins: ['tenant', 'client-kind', 'language', 'cache-hint', 'frame-options'],
}

export const cardea: Peer = {
  name: 'cardea',
  title: 'Cardea',
  variants: ['plain', 'logging', 'plugins'],
  install: 'npm ci',
  accessLog: 'logs/access.log',
  async find() {
    const version = await firstLineOf(process.execPath, [BIN, '--version'])
    return version === null || version === '' ? null : `Cardea ${version}, Node.js ${process.versions.node}`
  },
  async prepare({ directory, port, upstreamPort, variant }) {
    for (const plugin of PLUGINS_OF[variant]) {
      await cp(new URL(plugin, PLUGINS), join(directory, 'plugins', plugin), { recursive: true })
    }
    const file = join(directory, 'cardea.yaml')
    const plugins = 'plugins:\n  access-log: { config: { format: combined, rotate_size: "0" } }\n'
    await writeFile(
      file,
      `listen: [{ host: 127.0.0.1, port: ${port} }]
workers: 1
log: { level: ${variant === 'logging' ? 'info' : 'warn'} }
upstreams:
  origin: { targets: ["http://127.0.0.1:${upstreamPort}"] }
routes:
  - { name: all, path: "/*", upstream: origin }
${variant === 'logging' ? plugins : ''}`,
    )
    return {
      command: process.execPath,
      args: [BIN, 'serve', '--config', file],
      env: { NODE_ENV: 'production' },
    }
  },
}
