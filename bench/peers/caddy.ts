import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { firstLineOf } from '../processes.ts'
import type { Peer } from './peer.ts'

export const caddy: Peer = {
  name: 'caddy',
  title: 'Caddy',
  variants: ['plain', 'logging'],
  install: 'apt-get install caddy',
  async find() {
    const version = await firstLineOf('caddy', ['version'])
    return version === null ? null : `Caddy ${version}`
  },
  async prepare({ directory, port, upstreamPort, variant }) {
    const file = join(directory, 'Caddyfile')
    const log = variant === 'logging' ? `log {\n    output file ${directory}/access.log\n  }` : ''
    await writeFile(
      file,
      `{
  admin off
  auto_https off
  log {
    level WARN
  }
}
http://:${port} {
  bind 127.0.0.1
  ${log}
  reverse_proxy 127.0.0.1:${upstreamPort} {
    transport http {
      keepalive 1h
      keepalive_idle_conns 256
      keepalive_idle_conns_per_host 256
    }
  }
}
`,
    )
    return {
      command: 'caddy',
      args: ['run', '--config', file, '--adapter', 'caddyfile'],
      env: { GOMAXPROCS: '1', HOME: directory, XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory },
    }
  },
}
