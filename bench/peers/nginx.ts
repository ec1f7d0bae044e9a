import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { firstLineOf, type Launch } from '../processes.ts'
import type { Peer, PeerSetup } from './peer.ts'

/** Paths that nginx wants to own, all below one directory, and the user to keep when started by root. */
export function nginxPreamble(directory: string): string {
  const user = process.getuid?.() === 0 ? 'user root;\n' : ''
  return `${user}daemon off; worker_processes 1;
pid ${directory}/nginx.pid; error_log ${directory}/error.log crit;
events { worker_connections 16384; }`
}

export function nginxTemporaryPaths(directory: string): string {
  return ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${directory}/${kind};`)
    .join('\n')
}

export function findNginx(): Promise<string | null> {
  return firstLineOf('nginx', ['-v'])
}

/** As Debian ships it: buffers of 4 KiB, eight of them. */
export const nginx: Peer = {
  name: 'nginx',
  title: 'nginx',
  variants: ['plain', 'logging'],
  install: 'apt-get install nginx',
  find: findNginx,
  prepare: (setup) => prepareNginx(setup, ''),
}

/** The same with buffers as large as a Node socket reads at once; large bodies then cost it half as much. */
export const nginxLargeBuffers: Peer = {
  ...nginx,
  name: 'nginx-large-buffers',
  title: 'nginx, 64 KiB buffers',
  variants: ['plain'],
  scenarios: ['64k', '1m'],
  prepare: (setup) =>
    prepareNginx(setup, 'proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;'),
}

async function prepareNginx(
  { directory, port, upstreamPort, variant }: PeerSetup,
  buffers: string,
): Promise<Launch> {
  const file = join(directory, 'nginx.conf')
  // Buffered, as the access log of the Cardea row is.
  const log = variant === 'logging' ? `${directory}/access.log combined buffer=64k flush=1s` : 'off'
  await writeFile(
    file,
    `${nginxPreamble(directory)}
http {
${nginxTemporaryPaths(directory)}
  access_log ${log};
  keepalive_requests 1000000000; keepalive_timeout 3600s; keepalive_time 24h; client_max_body_size 0;
  upstream origin {
    server 127.0.0.1:${upstreamPort};
    keepalive 256; keepalive_requests 1000000000; keepalive_timeout 3600s; keepalive_time 24h;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_max_temp_file_size 0;
      proxy_request_buffering off;
      ${buffers}
    }
  }
}
`,
  )
  return { command: 'nginx', args: ['-c', file, '-p', directory, '-e', join(directory, 'error.log')] }
}
