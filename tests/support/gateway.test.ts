import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type GatewayOptions, startGateway, type TestGateway } from './gateway.ts'
import { isAlive } from './processes.ts'
import { LAUNCHER, programArguments } from './program.ts'
import { RecordingUpstream } from './recording-upstream.ts'
import { withTempDir } from './temp-dir.ts'
import { waitFor } from './wait-for.ts'

/** Stands for the gateway: one helper process below it, and the behaviour that its environment asks for. */
const STAND_IN = `
const { spawn } = require('node:child_process')
const behaviour = process.env.BEHAVIOUR
if (behaviour === 'fail') {
  process.stderr.write('the config is wrong\\n')
  process.exit(3)
}
const helper = spawn('sleep', ['300'])
process.on('SIGTERM', () => {
  if (behaviour === 'stubborn') return
  helper.on('exit', () => process.exit(0))
  helper.kill()
})
setInterval(() => {}, 1000)
if (behaviour !== 'mute') process.stdout.write('Cardea is listening on http://127.0.0.1:4711\\n')
process.stderr.write(process.argv.slice(2).join(' ') + '\\n')
`

async function startStandIn(t: TestContext, options: Partial<GatewayOptions> = {}): Promise<TestGateway> {
  const dir = await withTempDir()
  t.after(() => dir[Symbol.asyncDispose]())
  await dir.write({ 'stand-in.cjs': STAND_IN })
  return startGateway(t, { config: {}, program: join(dir.path, 'stand-in.cjs'), ...options })
}

test('startGateway() rejects with the output of a gateway that ends before it is ready', async (t) => {
  await assert.rejects(startStandIn(t, { env: { BEHAVIOUR: 'fail' } }), {
    message: /ended before it was ready: \{"code":3,"signal":null\}.*the config is wrong/s,
  })
})

test('startGateway() rejects when there is no ready line in time', async (t) => {
  await assert.rejects(startStandIn(t, { env: { BEHAVIOUR: 'mute' }, readyDeadlineMs: 500 }), {
    message: /^The gateway is not ready in time\./,
  })
})

test('startGateway() leaves no process and no folder behind, not even of a gateway that ignores SIGTERM', async (t) => {
  let gateway: TestGateway | undefined
  let pids: number[] = []
  await t.test('a gateway that is not stopped', async (inner) => {
    gateway = await startStandIn(inner, { env: { BEHAVIOUR: 'stubborn' } })
    gateway.stop()
    pids = [gateway.pid, ...(await waitForHelper(gateway))]
  })
  assert.equal(pids.length, 2)
  assert.deepEqual(pids.filter(isAlive), [])
  assert.equal((await gateway?.exited)?.signal, 'SIGKILL')
  assert.ok(!existsSync(gateway?.dir.path ?? '.'))
})

test('startGateway() gives the port of the ready line, the processes and the output', async (t) => {
  const gateway = await startStandIn(t, { args: ['--strict'] })
  assert.deepEqual([gateway.url, gateway.port], ['http://127.0.0.1:4711', 4711])
  await waitForHelper(gateway)
  assert.deepEqual(gateway.pids('no such command'), [])
  await waitFor(() => gateway.stderr !== '', 'stderr')
  assert.equal(gateway.stderr, `serve --config ${join(gateway.dir.path, 'cardea.yaml')} --strict\n`)
})

test('startGateway().stop() sends SIGTERM and resolves with the exit status, again and again', async (t) => {
  const gateway = await startStandIn(t)
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
})

test('startGateway() writes config and plugins, with a free port unless the config says otherwise', async (t) => {
  const plugins = { hello: { 'plugin.json': { name: 'hello' }, 'plugin.ts': 'export {}\n' } }
  const { dir } = await startStandIn(t, { config: { workers: 1 }, plugins })
  const text = async (name: string): Promise<string> => await readFile(join(dir.path, name), 'utf8')
  assert.deepEqual(JSON.parse(await text('cardea.yaml')), {
    listen: [{ host: '127.0.0.1', port: 0 }],
    workers: 1,
  })
  assert.equal(await text('plugins/hello/plugin.ts'), 'export {}\n')
  const own = await startStandIn(t, { config: 'listen: []\n' })
  assert.equal(await readFile(join(own.dir.path, 'cardea.yaml'), 'utf8'), 'listen: []\n')
})

async function waitForHelper(gateway: TestGateway): Promise<number[]> {
  return await waitFor(() => {
    const pids = gateway.pids('sleep 300')
    return pids.length === 1 && pids
  }, 'the helper process')
}

test('startGateway() starts what the launcher becomes, with the plugins it is given', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const gateway = await startGateway(t, {
    program: LAUNCHER,
    config: { upstreams: { app: { targets: [upstream.url] } }, routes: [{ name: 'app', upstream: 'app' }] },
    plugins: {
      mark: {
        'plugin.json': { name: 'mark', version: '1.0.0' },
        'plugin.ts': `export const PluginMain = () => ({
          name: 'mark',
          handle(ctx) { ctx.request.headers.set('x-mark', 'yes'); return true },
        })`,
      },
    },
  })
  const response = await fetch(`${gateway.url}/a`, { headers: { connection: 'close' } })
  assert.deepEqual([response.status, await response.text()], [200, 'ok'])
  assert.match(upstream.requests[0] ?? '', /^GET \/a HTTP\/1\.1\r\n.*^x-mark: yes\r\n/ims)
  const [, ...args] = (await readFile(`/proc/${gateway.pid}/cmdline`, 'utf8')).split('\0')
  assert.deepEqual(args.slice(0, args.indexOf('serve')), programArguments())
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null }, gateway.stderr)
})
