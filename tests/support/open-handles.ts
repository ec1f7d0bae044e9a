import { after } from 'node:test'

/**
 * Preloaded into every test file by tests/run.ts. When the last test is over, a server, socket or timer that is still
 * open would keep the process alive for ever; here it fails the file instead, and is named.
 */

const GRACE_MS = 5_000

// Processes that a test forks inherit the preload, but are no test files.
if (process.argv[1]?.endsWith('.test.ts')) after(watchTheEnd)

function watchTheEnd(): void {
  const failure = setTimeout(() => {
    const held = process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap' && name !== 'TTYWrap')
    const names = held.length > 0 ? held.join(', ') : 'a pipe'
    process.stderr.write(`Still open ${GRACE_MS} ms after the last test: ${names}\n`)
    process.exit(1)
  }, GRACE_MS)
  // It must not be what keeps the process alive.
  failure.unref()
}
