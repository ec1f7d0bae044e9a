import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { askGateway } from '../packages/gateway/src/cli/control-client.ts'
import { startCommand } from './support/cardea-command.ts'
import { startGateway } from './support/gateway.ts'
import { sayings } from './support/log-lines.ts'
import { answerEach, RecordingUpstream } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** A change for which too many generations are alive: it is seen, it ends with whoever asked, and newer files take its place. */

const STREAM =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n'

const plugin = (value: string) => `export const PluginMain = () => ({
  name: 'hello',
  handle(ctx) {
    ctx.response.headers.set('x-hello', '${value}')
    return true
  },
})
`

/** Two generations are alive, which is all that may be: a stream runs on each. */
async function start(t: TestContext) {
  const upstream = await RecordingUpstream.start(answerEach(() => STREAM))
  t.after(() => upstream[Symbol.asyncDispose]())
  const configWith = (changes: Readonly<Record<string, unknown>>) => ({
    listen: [{ host: '127.0.0.1', port: 0 }],
    workers: 1,
    changes: { generations_live_max: 2, ...changes },
    upstreams: { events: { targets: [upstream.url] } },
    routes: [
      { name: 'events', path: '/events', upstream: 'events' },
      { name: 'all', path: '/*', respond: { status: 200, body: 'here' } },
    ],
  })
  const gateway = await startGateway(t, {
    config: configWith({}),
    plugins: { hello: { 'plugin.json': { name: 'hello', version: '1.0.0' }, 'plugin.ts': plugin('1') } },
  })
  const directory = gateway.dir.path
  const hello = async () => (await fetch(gateway.url)).headers.get('x-hello')
  const streaming = async (): Promise<TestConnection> => {
    const connection = await TestConnection.open(t, gateway.port)
    await connection.request('GET', '/events')
    await connection.reader.takeThrough('\r\n\r\n1\r\na\r\n')
    return connection
  }
  const save = (value: string) => gateway.dir.write({ 'plugins/hello/plugin.ts': plugin(value) })
  const says = (value: string | null) =>
    waitFor(async () => (await hello()) === value, `x-hello: ${value}`, 30_000)
  const first = await streaming()
  await save('2')
  await says('2')
  await streaming()
  return {
    gateway,
    configure: (changes: Readonly<Record<string, unknown>>) =>
      gateway.dir.write({ 'cardea.yaml': configWith(changes) }),
    first,
    hello,
    save,
    says,
    cardea: (...args: string[]) => startCommand(t, args, { cwd: directory }),
    waits: (cause: string) =>
      waitFor(
        async () => {
          const { waiting } = await askGateway({ command: 'status' }, { directory, who: 'a test' })
          return waiting?.cause.kind === cause ? waiting : null
        },
        `a change to wait that is of ${cause}`,
        30_000,
      ),
  }
}

test('a command that waits says what for, as does status, and goes on when a stream ends', async (t) => {
  const { first, hello, cardea, waits } = await start(t)
  const command = cardea('plugin', 'disable', 'hello')
  const line =
    /^"disable hello" waits for generation 1 to end \(GET \/events \(route events\)\): 2 generations are alive .*Ctrl-C takes this command back\.$/m
  await waitFor(() => line.test(command.stderr), 'what it waits for', 30_000)
  const { generation, streams, generationsLiveMax } = await waits('disable')
  assert.deepEqual([generation, streams, generationsLiveMax], [1, ['GET /events (route events)'], 2])
  const status = cardea('status')
  await status.exited
  assert.match(status.stdout, /^Waiting \(since .*\)\n {2}"disable hello" waits for generation 1 to end /m)
  assert.equal(await hello(), '2')
  first.socket.destroy()
  assert.equal((await command.exited).code, 0, command.stderr)
  assert.equal(await hello(), null)
  assert.equal(command.stderr.match(/waits for/g)?.length, 1)
})

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  test(`what a command asked for that is ended by ${signal} while it waits is not carried out later`, async (t) => {
    const { gateway, first, save, says, cardea, waits } = await start(t)
    const command = cardea('plugin', 'disable', 'hello')
    await waits('disable')
    const queued = cardea('plugin', 'reload', 'hello')
    await waitFor(
      () => /"disable hello" waits for/.test(queued.stderr),
      'the other command to wait too',
      30_000,
    )
    for (const each of [command, queued]) {
      each.signal(signal)
      await each.exited
    }
    const left = () =>
      gateway.stderr.match(/A change is not made: whoever asked for it has left/g)?.length === 2
    await waitFor(left, 'both commands to be dropped', 30_000)
    await save('3')
    await waits('files')
    first.socket.destroy()
    await says('3')
    assert.doesNotMatch(gateway.stderr, /Generation \d+ is live: plugin hello removed/)
  })
}

test('what is saved while another save waits for room takes its place', async (t) => {
  const { gateway, first, save, says, waits } = await start(t)
  await save('3')
  await waits('files')
  await save('4')
  const given = /A change that took long has given way to what was saved since/
  await waitFor(() => given.test(gateway.stderr), 'the save to give way', 30_000)
  await waits('files')
  first.socket.destroy()
  await says('4')
})

for (const changes of [{ generations_live_max: 3 }, { stream_deadline: '10s' }]) {
  test(`a save that makes room by ${Object.keys(changes)} does not wait, and takes along what waits`, async (t) => {
    const { save, configure, says, waits } = await start(t)
    await save('3')
    await waits('files')
    await configure(changes)
    await says('3')
  })
}

test('a save that is broken, or changes nothing, says so although there is no room', async (t) => {
  const { gateway, save, waits } = await start(t)
  const said = sayings(gateway)
  const status = () => askGateway({ command: 'status' }, { directory: gateway.dir.path, who: 'a test' })
  await gateway.dir.write({ 'plugins/hello/plugin.ts': 'export const PluginMain = (' })
  await said(/The change failed at build/)
  await save('2')
  await waitFor(async () => (await status()).pending === null, 'the failure to be over', 30_000)
  assert.doesNotMatch(gateway.stderr, /The change waits/)
  await save('3')
  await waits('files')
})
