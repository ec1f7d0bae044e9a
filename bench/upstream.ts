import { mkdir, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findNginx, nginxPreamble, nginxTemporaryPaths } from './peers/nginx.ts'
import { freePort, type Launch, type RunningProcess, startPinned } from './processes.ts'
import { PLAIN_PATH, SCENARIOS, SMALL_BODY, SMALL_PATH } from './scenarios.ts'

const NODE_SERVER = fileURLToPath(new URL('load/node-upstream.ts', import.meta.url))

/** The server behind the proxies. It must be much cheaper than any of them, so nginx serves where it is installed. */
export interface Upstream extends AsyncDisposable {
  readonly kind: 'nginx' | 'node'
  readonly port: number
  readonly running: RunningProcess
}

export async function startUpstream(directory: string, core: number): Promise<Upstream> {
  await mkdir(directory, { recursive: true })
  const port = await freePort()
  const kind = (await findNginx()) === null ? 'node' : 'nginx'
  const launch: Launch =
    kind === 'nginx'
      ? await prepareNginx(directory, port)
      : { command: process.execPath, args: [NODE_SERVER, String(port)] }
  const running = await startPinned(launch, { core, directory })
  return { kind, port, running, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() }
}

/** Connections that the upstream has accepted so far: tells whether a proxy reuses its own. */
export async function acceptedConnections(upstream: Upstream): Promise<number> {
  const text = await new Promise<string>((resolve, reject) => {
    const request = get(
      { host: '127.0.0.1', port: upstream.port, path: '/status', agent: false },
      (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          body += chunk
        })
        response.once('end', () => resolve(body))
      },
    )
    request.once('error', reject)
  })
  return parseAccepted(text)
}

/** The first number of the third line of stub_status: accepts. Throws on anything else. */
export function parseAccepted(text: string): number {
  const accepted = /^\s*(\d+) \d+ \d+/m.exec(text)?.[1]
  if (accepted === undefined)
    throw new Error(`The upstream's status is not stub_status: ${text.slice(0, 200)}`)
  return Number(accepted)
}

async function prepareNginx(directory: string, port: number): Promise<Launch> {
  for (const { path, method, answerBytes } of SCENARIOS) {
    if (method === 'GET' && answerBytes > SMALL_BODY.length) {
      await writeFile(join(directory, path), Buffer.alloc(answerBytes, 'x'))
    }
  }
  const file = join(directory, 'nginx.conf')
  await writeFile(
    file,
    `${nginxPreamble(directory)}
http {
${nginxTemporaryPaths(directory)}
  access_log off; sendfile on; tcp_nopush on; open_file_cache max=16 inactive=1h; open_file_cache_errors on;
  keepalive_requests 1000000000; keepalive_timeout 3600s; keepalive_time 24h;
  client_max_body_size 0; client_body_buffer_size 128k; client_body_in_single_buffer on;
  types { } default_type application/octet-stream;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${directory};
    location = ${SMALL_PATH} { default_type application/json; return 200 '${SMALL_BODY}'; }
    location = ${PLAIN_PATH} { default_type application/json; return 200 '${SMALL_BODY}'; }
    location = /status { stub_status; }
    # "return" would answer before the body has been read, and an early answer costs a proxy its connection. The
    # mirror module reads the whole body first; then the static handler finds no file, and the error page answers.
    location = /post {
      mirror /mirror; mirror_request_body on;
      error_page 404 =200 @posted;
    }
    location @posted { default_type application/json; return 200 '${SMALL_BODY}'; }
    location = /mirror { internal; return 204; }
  }
}
`,
  )
  return { command: 'nginx', args: ['-c', file, '-p', directory, '-e', join(directory, 'error.log')] }
}
