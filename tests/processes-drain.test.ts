import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { runCommand, startCommand } from './support/cardea-command.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged, logLines } from './support/log-lines.ts'
import { descendantsOf, haveEndedWith, signalProcesses } from './support/processes.ts'
import { rawExchange } from './support/raw-exchange.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { withTempDir } from './support/temp-dir.ts'
import { waitFor } from './support/wait-for.ts'

/** How a gateway ends when it is told to. */

const WORKER = 'cardea: worker'
const REQUEST = 'GET /held HTTP/1.1\r\nHost: test\r\n\r\n'
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone'

/** An upstream that answers when the test says so, and a gateway before it with one request on its way. */
async function startWithRequest(t: TestContext, settings: Readonly<Record<string, unknown>> = {}) {
  const upstream = await RecordingUpstream.start(() => {})
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startGateway(t, {
    config: {
      workers: 2,
      upstreams: { app: { targets: [upstream.url] } },
      routes: [{ name: 'app', path: '/*', upstream: 'app' }],
      ...settings,
    },
  })
  const exchange = rawExchange(gateway.port, REQUEST)
  await waitFor(() => upstream.requests.length === 1, 'the request to reach the upstream')
  const [connection] = upstream.connections
  assert.ok(connection)
  return { gateway, exchange, answer: () => connection.write(ANSWER) }
}

async function drain(gateway: TestGateway): Promise<void> {
  signalProcesses([gateway.pid], 'SIGTERM')
  await logged(gateway, /^Received SIGTERM: draining/)
}

/** The signal, again and again: what comes too soon after the first is taken for the same. */
async function insist(gateway: TestGateway, signal: NodeJS.Signals): Promise<void> {
  await waitFor(() => {
    if (gateway.stderr.includes(`Received ${signal} again: ending at once`)) return true
    signalProcesses([gateway.pid], signal)
    return false
  }, 'the second signal to count')
}

test('SIGTERM: what is in flight is finished, new connections are refused, exit code 0', async (t) => {
  const { gateway, exchange, answer } = await startWithRequest(t)
  const processes = gateway.processes()
  await drain(gateway)
  await waitFor(async () => {
    const refused = await rawExchange(gateway.port, REQUEST, { idleMs: 50 }).catch((error) => error)
    return refused instanceof Error && 'code' in refused && refused.code === 'ECONNREFUSED'
  }, 'connections to be refused')
  answer()
  const { text } = await exchange
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/)
  assert.match(text, /^connection: close\r$/im)
  assert.match(text, /\r\n\r\ndone$/)
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
  await haveEndedWith(gateway.pid, processes)
})

test('SIGTERM on an idle gateway ends it with exit code 0 and without a complaint', async (t) => {
  const gateway = await startGateway(t, {
    config: { routes: [{ name: 'all', path: '/*', respond: { status: 200 } }] },
  })
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  const levels = new Set(logLines(gateway.stderr).map(({ level }) => level))
  assert.deepEqual([...levels], ['info'])
})

test('SIGTERM while plugins are still starting ends the gateway with exit code 0', async (t) => {
  const dir = await withTempDir()
  t.after(() => dir[Symbol.asyncDispose]())
  await dir.write({
    'cardea.json': {
      listen: [{ host: '127.0.0.1', port: 0 }],
      routes: [{ name: 'all', path: '/*', respond: { status: 200 } }],
    },
    'plugins/slow/plugin.json': { name: 'slow', version: '1.0.0' },
    'plugins/slow/plugin.ts': `
      export async function PluginMain(_config, host) {
        host.log.info('not there yet')
        await new Promise(() => {})
      }
    `,
  })
  const command = startCommand(t, ['serve'], { cwd: dir.path })
  await logged(command, /^not there yet$/)
  const processes = descendantsOf(command.pid)
  command.signal('SIGTERM')
  assert.deepEqual(await command.exited, { code: 0, signal: null })
  assert.equal(command.stdout, '')
  await haveEndedWith(command.pid, processes)
})

test('SIGTERM: a command that comes while requests are finished is told that nothing changes any more', async (t) => {
  const { gateway, exchange, answer } = await startWithRequest(t)
  await drain(gateway)
  const told = await runCommand(t, ['plugin', 'disable', 'cors'], { cwd: gateway.dir.path })
  assert.deepEqual([told.code, told.stdout], [1, ''])
  assert.match(told.stderr, /^GATEWAY_ENDING: /)
  answer()
  await exchange
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
})

test('SIGTERM to all processes at once drains as well', async (t) => {
  const { gateway, exchange, answer } = await startWithRequest(t)
  signalProcesses([gateway.pid, ...gateway.pids()], 'SIGTERM')
  await logged(gateway, /^Received SIGTERM: draining/)
  answer()
  assert.match((await exchange).text, /\r\n\r\ndone$/)
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
})

test('a second SIGTERM ends the gateway at once, with exit code 143', async (t) => {
  const { gateway, exchange } = await startWithRequest(t)
  const processes = gateway.processes()
  await drain(gateway)
  await insist(gateway, 'SIGTERM')
  assert.deepEqual(await gateway.exited, { code: 143, signal: null })
  await haveEndedWith(gateway.pid, processes)
  assert.equal((await exchange).text, '')
})

test('a second SIGINT ends the gateway at once, with exit code 130', async (t) => {
  const { gateway, exchange } = await startWithRequest(t)
  await insist(gateway, 'SIGINT')
  assert.deepEqual(await gateway.exited, { code: 130, signal: null })
  assert.equal((await exchange).text, '')
})

test('one Ctrl-C that arrives twice, from the terminal and from npm, still drains', async (t) => {
  const { gateway, exchange, answer } = await startWithRequest(t)
  signalProcesses([gateway.pid], 'SIGINT')
  await logged(gateway, /^Received SIGINT: draining/)
  signalProcesses([gateway.pid], 'SIGINT')
  answer()
  assert.match((await exchange).text, /\r\n\r\ndone$/)
  assert.deepEqual(await gateway.exited, { code: 0, signal: null })
})

test('the drain deadline cuts what is still in flight, and says so', async (t) => {
  const { gateway, exchange } = await startWithRequest(t, { timeouts: { drain: '10s' } })
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  const { text, ended } = await exchange
  assert.match(text, /^HTTP\/1\.1 503 .*"code":"DRAIN_DEADLINE_PASSED"/s)
  assert.equal(ended, 'closed')
  const line = await logged(gateway, /^Exchanges were cut/)
  assert.equal(line.cutExchanges, 1)
})

test('an answer that the drain deadline cuts does not look whole, and the gateway ends in time', async (t) => {
  const upstream = await RecordingUpstream.start(answerEach('HTTP/1.1 200 OK\r\n\r\npart one'))
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startGateway(t, {
    config: {
      timeouts: { drain: '5s' },
      upstreams: { app: { targets: [upstream.url] } },
      routes: [{ name: 'app', path: '/*', upstream: 'app' }],
    },
  })
  const hasBegun = Promise.withResolvers<void>()
  const until = (received: string): boolean => {
    if (received.includes('part one')) hasBegun.resolve()
    return false
  }
  const exchange = rawExchange(gateway.port, 'GET / HTTP/1.0\r\n\r\n', { until, deadlineMs: 60_000 })
  await hasBegun.promise
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  assert.equal((await exchange).ended, 'reset')
})

test('a worker that hangs in the drain is killed at the deadline, exit code 1', async (t) => {
  const { gateway, exchange } = await startWithRequest(t, { timeouts: { drain: '1s' } })
  const processes = gateway.processes()
  signalProcesses(gateway.pids(WORKER), 'SIGSTOP')
  assert.deepEqual(await gateway.stop(), { code: 1, signal: null })
  await haveEndedWith(gateway.pid, processes)
  await exchange
  await logged(gateway, /^Processes did not end within the drain deadline/)
})
