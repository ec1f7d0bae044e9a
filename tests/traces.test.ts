import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { watchGateway } from '../packages/gateway/src/cli/control-client.ts'
import { get } from './support/answers.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { signalProcesses } from './support/processes.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** Traces of requests, for whoever watches a gateway. */

function start(t: TestContext): Promise<TestGateway> {
  return startGateway(t, {
    config: {
      workers: 1,
      debug: true,
      routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
    },
  })
}

/** Counts what a watcher is told. */
async function watch(t: TestContext, gateway: TestGateway): Promise<{ traces: number; skipped: number }> {
  const told = { traces: 0, skipped: 0 }
  const end = new AbortController()
  const { promise: connected, resolve } = Promise.withResolvers<void>()
  const watching = watchGateway({
    directory: gateway.dir.path,
    who: 'test',
    traces: true,
    signal: end.signal,
    onConnected: async () => resolve(),
    onEvent(event) {
      if (event.kind === 'trace') told.traces++
      if (event.kind === 'skipped') told.skipped += event.traces
    },
  })
  t.after(async () => {
    end.abort()
    await watching
  })
  await connected
  return told
}

/** One after the other over one connection. `target` makes their traces as large as they can be. */
async function send(t: TestContext, gateway: TestGateway, count: number, target: string): Promise<void> {
  const connection = await TestConnection.open(t, gateway.port)
  for (let i = 0; i < count; i++) {
    await connection.write(get(target))
    assert.equal((await connection.response()).status, 200)
  }
}

/** What was written to pipes and files by a process, and all else that it asked the system to write. */
function bytesWritten(pid: number): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1])
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

const LONG = `/${'x'.repeat(4_000)}`

test('a worker tells nobody of its requests while nobody watches, with debug too', async (t) => {
  const gateway = await start(t)
  const [worker = 0] = gateway.pids('cardea: worker')
  await send(t, gateway, 10, LONG)
  const before = bytesWritten(worker)
  await send(t, gateway, 500, LONG)
  const perRequest = (bytesWritten(worker) - before) / 500
  assert.ok(perRequest < LONG.length, `${perRequest} bytes`)
})

test('a supervisor that does not read costs the master no memory, and those who watch hear of what was left out', async (t) => {
  const gateway = await start(t)
  const told = await watch(t, gateway)
  await waitFor(async () => {
    await send(t, gateway, 1, '/')
    return told.traces > 0
  }, 'the first trace')
  const [supervisor = 0] = gateway.pids('cardea: supervisor')
  signalProcesses([supervisor], 'SIGSTOP')
  const masterBefore = residentBytes(gateway.pid)
  const before = { ...told }
  const count = 12_000
  await send(t, gateway, count, LONG)
  const grownBytes = residentBytes(gateway.pid) - masterBefore
  signalProcesses([supervisor], 'SIGCONT')
  await waitFor(
    () => told.traces - before.traces + told.skipped - before.skipped >= count,
    'all requests to be told of, or counted',
  )
  assert.ok(told.skipped - before.skipped > count / 2, `${told.skipped} skipped`)
  // All of them would be 48 MB.
  assert.ok(grownBytes < 40_000_000, `grown by ${grownBytes} bytes`)
})
