import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { runCommand } from './support/cardea-command.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { type LogLine, logged, logLines } from './support/log-lines.ts'
import { waitFor } from './support/wait-for.ts'

/** What a request can make fail time and again must not fill the log. */

const FAILURES = 1_000
/** A second's worth of one instance is 10. */
const LINES_MAX = 20

const FLOODER = {
  'plugin.json': { name: 'flooder', version: '1.0.0' },
  'plugin.ts': `export const PluginMain = (_, host) => {
  host.on('flooder/told', () => { throw new Error('from a listener') })
  const ways = {
    '/rejects': () => { for (let i = 0; i < ${FAILURES}; i++) void Promise.reject(new Error('floating')) },
    '/nameless': () => { for (let i = 0; i < ${FAILURES}; i++) void Promise.reject('no error') },
    '/tells': () => { for (let i = 0; i < ${FAILURES}; i++) host.emit('told') },
    '/timers': () => { for (let i = 0; i < ${FAILURES}; i++) host.setTimeout(() => { throw new Error('from a timer') }, 0) },
  }
  return {
    name: 'flooder',
    handle({ request }) {
      ways[request.path]?.()
      return true
    },
  }
}`,
}

function start(t: TestContext): Promise<TestGateway> {
  return startGateway(t, {
    config: {
      workers: 1,
      upstreams: { down: { targets: ['http://127.0.0.1:1'] }, gone: { targets: ['http://127.0.0.1:1'] } },
      routes: [
        { name: 'down', path: '/down', upstream: 'down' },
        { name: 'gone', path: '/gone', upstream: 'gone' },
        { name: 'all', path: '/*', respond: { status: 200, body: 'here' } },
      ],
    },
    plugins: { flooder: FLOODER },
  })
}

async function ask({ url }: TestGateway, path: string): Promise<number> {
  const response = await fetch(`${url}${path}`)
  await response.arrayBuffer()
  return response.status
}

const linesAbout = ({ stderr }: TestGateway, message: RegExp): LogLine[] =>
  logLines(stderr).filter((line) => message.test(String(line.message)))

async function failuresOf(t: TestContext, gateway: TestGateway): Promise<number> {
  const { stdout } = await runCommand(t, ['plugin', 'info', 'flooder', '--json'], { cwd: gateway.dir.path })
  const found = /"failures": (\d+)/.exec(stdout)
  return Number(found?.[1] ?? 0)
}

const WAYS = [
  ['/rejects', /^A promise was rejected in plugin "flooder" and nobody waited for it: floating$/],
  ['/tells', /^A listener of "flooder" to "flooder\/told" failed: from a listener$/],
  ['/timers', /^A timer of "flooder" failed: from a timer$/],
] as const

for (const [path, message] of WAYS) {
  test(`${path}: what fails outside of hooks is counted for its instance, and some of it is in the log`, async (t) => {
    const gateway = await start(t)
    const [worker] = gateway.pids('cardea: worker')
    assert.equal(await ask(gateway, path), 200)
    const first = await logged(gateway, message)
    assert.equal(first.plugin, 'flooder')
    assert.equal(first.code, 'HOOK_THREW')
    assert.match(String(first.stack), /flooder\/plugin\.ts:\d+:/)
    await waitFor(async () => (await failuresOf(t, gateway)) === FAILURES, `${FAILURES} failures`)
    const lines = linesAbout(gateway, message).length
    assert.ok(lines <= LINES_MAX, `${lines} lines`)
    assert.deepEqual(gateway.pids('cardea: worker'), [worker])
    assert.equal(await ask(gateway, '/'), 200)
  })
}

test('promises that are rejected with what tells nothing are told of together', async (t) => {
  const gateway = await start(t)
  assert.equal(await ask(gateway, '/nameless'), 200)
  await logged(gateway, /^A promise was rejected/)
  await gateway.stop()
  const lines = linesAbout(gateway, /^A promise was rejected and nobody waited for it: no error$/)
  assert.ok(lines.length <= 5, `${lines.length} lines`)
  assert.equal(
    lines.reduce((sum, { count }) => sum + Number(count), 0),
    FAILURES,
  )
})

test('an upstream that is down is in the log once in ten seconds, with how often it was asked', async (t) => {
  const gateway = await start(t)
  for (let i = 0; i < 40; i++) {
    assert.equal(await ask(gateway, '/down'), 502)
    assert.equal(await ask(gateway, '/gone'), 502)
  }
  await gateway.stop()
  for (const upstream of ['down', 'gone']) {
    const lines = logLines(gateway.stderr).filter((line) => line.upstream === upstream)
    const counts = lines.map(({ code, count }) => (code === undefined ? 0 : Number(count)))
    assert.ok(lines.length < 20, `${lines.length} lines`)
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      40,
    )
    assert.ok(lines.every(({ requestId, route }) => typeof requestId === 'string' && route === upstream))
  }
})
