import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { LAUNCHER } from '../support/program.ts'
import { waitFor } from '../support/wait-for.ts'
import { missingFrom, type ReadmeCommand } from './readme.ts'

/**
 * Runs a command of a document in `directory`, as a reader would, until it prints what the document says, or fails. A
 * request is sent once unless `again` is said; what only looks, at a log say, may have to look again.
 */
export async function runUntilTrue(
  directory: string,
  { line, prints }: ReadmeCommand,
  again = !/\bcurl\b/.test(line),
): Promise<void> {
  const bin = join(directory, '.bin')
  await mkdir(bin, { recursive: true })
  await writeFile(join(bin, 'cardea'), `#!/bin/sh\nexec '${process.execPath}' '${LAUNCHER}' "$@"\n`)
  await chmod(join(bin, 'cardea'), 0o755)
  let output = ''
  const look = async (): Promise<boolean> => {
    const result = await promisify(execFile)('sh', ['-c', line], {
      cwd: directory,
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, NODE_TEST_CONTEXT: undefined },
    }).catch((error: { stdout?: string; stderr?: string }) => error)
    output = `${result.stdout ?? ''}${result.stderr ?? ''}`
    return missingFrom(output, prints).length === 0
  }
  if (await look()) return
  const isTrue = again && (await waitFor(look, `what \`${line}\` should print`).catch(() => false))
  if (!isTrue) {
    assert.fail(`\`${line}\` does not print ${JSON.stringify(missingFrom(output, prints))} but:\n${output}`)
  }
}

/** Answers every request with what it was asked: the request line and its fields. Returns its port. */
export async function startEchoUpstream(t: TestContext): Promise<number> {
  const server = createServer((request, response) => {
    const fields = Object.entries(request.headers).map(([field, value]) => `${field}: ${value}`)
    response.setHeader('content-type', 'text/plain')
    response.end(`${[`${request.method} ${request.url}`, ...fields].join('\n')}\n`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}
