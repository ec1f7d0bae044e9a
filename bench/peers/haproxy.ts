import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { firstLineOf } from '../processes.ts'
import type { Peer } from './peer.ts'

export const haproxy: Peer = {
  name: 'haproxy',
  title: 'HAProxy',
  variants: ['plain', 'logging'],
  // It logs to syslog or to stdout, not to a file.
  accessLog: 'output.log',
  install: 'apt-get install haproxy',
  find: () => firstLineOf('haproxy', ['-v']),
  async prepare({ directory, port, upstreamPort, variant }) {
    const file = join(directory, 'haproxy.cfg')
    const logging = variant === 'logging'
    await writeFile(
      file,
      `global
  nbthread 1
  maxconn 8192
${logging ? '  log stdout format raw local0' : ''}
defaults
  mode http
  timeout client 1h
  timeout server 1h
  timeout connect 5s
  timeout http-keep-alive 1h
  http-reuse always
${logging ? '  log global\n  option httplog' : ''}
frontend front
  bind 127.0.0.1:${port} backlog 4096
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend origin
backend origin
  server origin 127.0.0.1:${upstreamPort} pool-max-conn 256 pool-purge-delay 1h
`,
    )
    // -db: stay in the foreground, so that stdout is the log file.
    return { command: 'haproxy', args: ['-db', '-f', file] }
  },
}
