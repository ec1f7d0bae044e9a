import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { configOf } from '../in-process/built-in-cases.ts'
import { firstLineOf } from '../processes.ts'
import { PLAIN_PATH, SMALL_PATH, type Variant } from '../scenarios.ts'
import type { Peer, PeerSetup } from './peer.ts'

const BIN = fileURLToPath(new URL('../../packages/gateway/bin/cardea.js', import.meta.url))
const PLUGINS = new URL('../plugins/', import.meta.url)

/** The plugin folders that each variant finds beside its config. */
export const PLUGINS_OF: Readonly<Record<Variant, readonly string[]>> = {
  plain: [],
  // access-log is built in.
  logging: [],
  'built-in': [],
  plugins: ['tenant', 'client-kind', 'language', 'cache-hint', 'frame-options'],
}

export const cardea: Peer = {
  name: 'cardea',
  title: 'Cardea',
  variants: ['plain', 'logging', 'plugins', 'built-in'],
  install: 'npm ci',
  accessLog: 'logs/access.log',
  async find() {
    const version = await firstLineOf(process.execPath, [BIN, '--version'])
    return version === null || version === '' ? null : `Cardea ${version}, Node.js ${process.versions.node}`
  },
  async prepare(setup) {
    const { directory, port, upstreamPort, variant } = setup
    for (const plugin of PLUGINS_OF[variant]) {
      await cp(new URL(plugin, PLUGINS), join(directory, 'plugins', plugin), { recursive: true })
    }
    const file = join(directory, 'cardea.yaml')
    await writeFile(
      file,
      `listen: [{ host: 127.0.0.1, port: ${port} }]
workers: 1
log: { level: ${variant === 'logging' ? 'info' : 'warn'} }
upstreams:
  origin: { targets: ["http://127.0.0.1:${upstreamPort}"] }
routes:
${await routesOf(setup)}
`,
    )
    return {
      command: process.execPath,
      args: [BIN, 'serve', '--config', file],
      env: { NODE_ENV: 'production' },
    }
  },
}

/** A route without plugins is matched as the one with them is. */
async function routesOf(setup: PeerSetup): Promise<string> {
  const plugins = JSON.stringify(await builtInsOf(setup))
  const { variant } = setup
  if (variant === 'plain' || variant === 'logging')
    return `  - { name: all, path: "/*", upstream: origin, plugins: ${plugins} }`
  const none = JSON.stringify(Object.fromEntries(PLUGINS_OF[variant].map((name) => [name, false])))
  return `  - { name: with, path: ${SMALL_PATH}, upstream: origin, plugins: ${plugins} }
  - { name: without, path: ${PLAIN_PATH}, upstream: origin, plugins: ${none} }`
}

/** Logs are not rotated, so that their growth can be read from one file. */
async function builtInsOf({ variant, builtIn }: PeerSetup): Promise<Record<string, unknown>> {
  const rotation = { rotate_size: '0' }
  if (variant === 'logging') return { 'access-log': { config: { format: 'combined', ...rotation } } }
  if (variant !== 'built-in' || builtIn === null) return {}
  const config = await configOf(builtIn)
  return {
    [builtIn.plugin]: { config: builtIn.plugin === 'access-log' ? { ...config, ...rotation } : config },
  }
}
