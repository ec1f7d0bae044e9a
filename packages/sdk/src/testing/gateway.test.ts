import assert from 'node:assert/strict'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Context, Host, Middleware } from '../index.ts'
import { pluginFolder, type TestPlugin, testGateway } from './index.ts'

/** A plugin with these hooks. */
function plugin(hooks: Partial<Middleware>, manifest: Record<string, unknown> = {}): TestPlugin {
  return { main: () => ({ name: 'sample', handle: () => true, ...hooks }), manifest }
}

/** A plugin folder that goes with the test. */
async function folderWith(t: TestContext, files: Record<string, string>): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'cardea-test-')))
  t.after(() => rm(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(folder, name, '..'), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  return folder
}

test('testGateway() rejects with every problem of config and manifest', async () => {
  const refused: [Parameters<typeof testGateway>[0], RegExp][] = [
    [{ config: { limts: {} } }, /limts.*Did you mean "limits"/s],
    [{ routes: [{ path: 'no-slash' }] }, /routes\[0\]\.path/],
    [{ plugins: [plugin({}, { category: 'securty' })] }, /category.*"security"/s],
    [
      { plugins: [plugin({}, { name: 'a' }), plugin({}, { name: 'a' })] },
      /Two plugins of the test are named "a"/,
    ],
    [{ plugins: [plugin({}, { config: { f() {} } })] }, /"f" is not plain data/],
    [{ config: { when: new Date() } }, /"when" is not plain data/],
    [{ routes: [{ plugins: { absent: {} } }] }, /there is no plugin "absent"/],
    [{ plugins: [pluginFolder('/does/not/exist')] }, /Cannot read plugin.json/],
  ]
  for (const [options, reason] of refused) await assert.rejects(testGateway(options), reason)
})

test('testGateway() checks a plugin config by its schema, and fills in defaults', async () => {
  const configs: unknown[] = []
  const manifest = {
    name: 'sample',
    config: { list: ['a'] },
    config_schema: {
      type: 'object',
      properties: { count: { type: 'integer', default: 3 }, list: { type: 'array' } },
    },
  }
  const main: TestPlugin['main'] = (config: unknown) => {
    configs.push(config)
    return { name: 'sample', handle: () => true }
  }
  await using _ = await testGateway({ plugins: [{ main, manifest, config: { list: ['b'] } }] })
  assert.deepEqual(configs, [{ list: ['b'], count: 3 }])
  await assert.rejects(
    testGateway({ plugins: [{ main, manifest, config: { count: 'many' } }] }),
    /count.*expected a whole number/,
  )
})

test('testGateway() rejects with what the start of a plugin threw, and stops those before it', async () => {
  const ran: string[] = []
  const good = plugin({ stop: () => void ran.push('stopped') })
  const bad: TestPlugin = {
    main() {
      throw new Error('cannot')
    },
  }
  await assert.rejects(testGateway({ plugins: [good, bad] }), /Cannot start plugin "plugin-2": cannot/)
  assert.deepEqual(ran, ['stopped'])
  const wrong = { main: (() => 7) as unknown as TestPlugin['main'] }
  await assert.rejects(testGateway({ plugins: [wrong] }), /returned number instead of a middleware/)
  const frozen = { main: () => Object.freeze({ name: 'frozen', handle: () => true }) }
  await using gateway = await testGateway({ plugins: [frozen] })
  assert.equal((await gateway.fetch('/')).status, 200)
})

test('plugins run in the order of category, priority and name, else as listed', async () => {
  const ran: string[] = []
  const noting = (name: string, manifest: Record<string, unknown>) =>
    plugin({ handle: () => ran.push(name) > 0 }, manifest)
  const plain = Array.from({ length: 11 }, (_, index) => noting(`${index + 1}`, {}))
  await using gateway = await testGateway({
    plugins: [
      ...plain,
      noting('low', { name: 'low', priority: 1 }),
      noting('first', { name: 'first', category: 'observe' }),
    ],
  })
  await gateway.fetch('/')
  assert.deepEqual(ran, ['first', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', 'low'])
})

test('routes are those of cardea.yaml, and decide which plugins run', async () => {
  const everywhere = plugin({ onResponse: (ctx) => ctx.response.headers.set('x-route', ctx.route.name) })
  const named = plugin(
    { onResponse: (ctx) => ctx.response.headers.set('x-named', 'yes') },
    { name: 'named', scope: 'route' },
  )
  await using gateway = await testGateway({
    plugins: [everywhere, named],
    routes: [
      { path: '/api/*', plugins: { named: {} } },
      { name: 'old', path: '/old', redirect: { to: '/api' } },
      { path: '/*', host: 'other.test', respond: { status: 204 } },
    ],
  })
  const api = await gateway.fetch('/api/x')
  assert.deepEqual([api.headers.get('x-route'), api.headers.get('x-named')], ['route-1', 'yes'])
  const old = await gateway.fetch('/old')
  assert.deepEqual([old.status, old.headers.get('x-route'), old.headers.get('x-named')], [302, 'old', null])
  assert.equal((await gateway.fetch('http://other.test')).status, 204)
  assert.equal((await gateway.fetch('/')).status, 404)
})

test('fetch() sends what it is told and gives back what came', async () => {
  await using gateway = await testGateway({
    upstream: (request) => ({
      status: 201,
      headers: { 'x-echo': request.headers.get('x-own') ?? '', 'set-cookie': ['a=1', 'b=2'] },
      body: [request.text(), '!'],
      trailers: { 'x-sum': '7' },
      informational: [{ status: 103, headers: { link: '</a>' } }],
    }),
  })
  const response = await gateway.fetch('http://shop.test:81/a?b#c', {
    method: 'PUT',
    headers: { 'x-own': 'value' },
    body: ['con', 'tent'],
    clientIp: '203.0.113.7',
  })
  assert.equal(response.status, 201)
  assert.equal(response.headers.get('x-echo'), 'value')
  assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2'])
  assert.equal(await response.text(), 'content!')
  assert.deepEqual([...(await response.bytes())], [...Buffer.from('content!')])
  assert.equal(response.received, 'content!')
  assert.equal(response.trailers.get('x-sum'), '7')
  assert.deepEqual(
    response.informational.map(({ status, headers }) => [status, headers.get('link')]),
    [[103, '</a>']],
  )
  const [seen] = gateway.upstreamRequests
  assert.deepEqual([seen?.method, seen?.url, seen?.text()], ['PUT', '/a?b', 'content'])
  assert.equal(seen?.headers.get('host'), 'shop.test:81')
  assert.equal(seen?.headers.get('x-forwarded-for'), '203.0.113.7')
  assert.deepEqual([seen?.upstream, seen?.target, seen?.complete], ['upstream', 'http://upstream.test', true])
})

test('fetch() of what is no request is answered as the gateway does it', async () => {
  await using gateway = await testGateway()
  const response = await gateway.fetch('/ with spaces')
  assert.equal(response.status, 400)
  assert.equal(((await response.json()) as { code: string }).code, 'REQUEST_MALFORMED')
  await response.finished
})

test('fetch() with a signal goes away when it aborts', async () => {
  const signals: AbortSignal[] = []
  await using gateway = await testGateway({
    plugins: [plugin({ handle: (ctx) => signals.push(ctx.signal) > 0 })],
    upstream: () => ({ fault: 'silent' }),
  })
  const client = new AbortController()
  const pending = gateway.fetch('/', { signal: client.signal })
  client.abort()
  await assert.rejects(pending, /The client went away/)
  assert.equal(signals[0]?.aborted, true)
  assert.equal(gateway.records[0]?.aborted, true)
  await assert.rejects(gateway.fetch('/', { signal: client.signal }), { name: 'AbortError' })
})

test('time passes when the clock is advanced, for hooks, upstreams and hosts alike', async () => {
  const ticks: string[] = []
  const main = (_: never, host: Host): Middleware => {
    host.setInterval(() => ticks.push('interval'), 1_000)
    const cancelled = host.setTimeout(() => ticks.push('cancelled'), 500)
    host.setTimeout(() => cancelled.cancel(), 499)
    host.setTimeout(() => ticks.push('timeout'), 1_500)
    return { name: 'sample', handle: () => true }
  }
  const gateway = await testGateway({
    plugins: [{ main }],
    upstream: () => ({ delayMs: 2_000, body: ['a', { pauseMs: 500 }, 'b'] }),
  })
  const pending = gateway.fetch('/')
  await gateway.clock.advance(2_000)
  assert.deepEqual(ticks, ['interval', 'timeout', 'interval'])
  const response = await pending
  assert.equal(response.received, 'a')
  await gateway.clock.advance(500)
  assert.equal(await response.text(), 'ab')
  await gateway.close()
  await gateway.clock.advance(5_000)
  assert.equal(ticks.length, 3)
})

test('the clock never goes back, and one advance() waits for the other', async () => {
  await using gateway = await testGateway()
  await assert.rejects(gateway.clock.advance(-1), RangeError)
  await assert.rejects(gateway.clock.advance(Number.NaN), RangeError)
  const first = gateway.clock.advance(100)
  await assert.rejects(gateway.clock.advance(100), /being advanced already/)
  await first
})

test('host.fetch is answered by the test, after permissions were checked', async () => {
  const statuses: unknown[] = []
  const main = (_: never, host: Host): Middleware => ({
    name: 'sample',
    async handle(ctx: Context) {
      const asked = await host.fetch(`http://${ctx.request.query.get('host')}/x`, {
        method: 'POST',
        body: 'hi',
      })
      statuses.push(asked.status, await asked.text())
      return true
    },
  })
  const manifest = { permissions: ['net:granted.test:80'] }
  await using gateway = await testGateway({
    plugins: [{ main, manifest }],
    fetch: async (request) =>
      new Response(`${request.method} ${request.url} ${await request.text()}`, { status: 202 }),
  })
  assert.equal((await gateway.fetch('/?host=granted.test')).status, 200)
  assert.deepEqual(statuses, [202, 'POST http://granted.test/x hi'])
  assert.equal((await gateway.fetch('/?host=other.test')).status, 503)
  assert.match(String(gateway.logs.at(-1)?.fields.stack), /PERMISSION_DENIED|may not fetch/)
  await using alone = await testGateway({ plugins: [{ main, manifest }] })
  assert.equal((await alone.fetch('/?host=granted.test')).status, 503)
  assert.match(String(alone.logs.at(-1)?.fields.stack), /give testGateway a `fetch`/)
})

test('logs and records are kept', async () => {
  await using gateway = await testGateway({
    plugins: [
      plugin({
        handle(ctx) {
          ctx.log.info('seen', { path: ctx.request.path })
          if (ctx.request.path === '/fail') throw new Error('on purpose')
          return true
        },
      }),
    ],
  })
  await (await gateway.fetch('/fine')).finished
  await (await gateway.fetch('/fail')).finished
  const [first, second, failure] = gateway.logs
  assert.deepEqual(first, {
    level: 'info',
    message: 'seen',
    fields: { path: '/fine', requestId: 'test-1', route: 'route-1', plugin: 'plugin-1' },
  })
  assert.equal(second?.fields.path, '/fail')
  assert.match(String(failure?.fields.stack), /Error: on purpose\n.*gateway\.test\.ts/s)
  assert.deepEqual(
    gateway.records.map(({ id, status, error }) => ({ id, status, error })),
    [
      { id: 'test-1', status: 200, error: null },
      { id: 'test-2', status: 503, error: 'HOOK_THREW' },
    ],
  )
})

test('close() cuts what still goes on and stops the plugins', async () => {
  const ran: string[] = []
  const gateway = await testGateway({
    plugins: [
      plugin({
        handle: () => new Promise(() => {}),
        onFinish: () => void ran.push('finish'),
        stop: () => void ran.push('stop'),
      }),
    ],
  })
  const pending = assert.rejects(gateway.fetch('/'), /The client went away/)
  await gateway.close()
  await pending
  assert.deepEqual(ran, ['finish', 'stop'])
})

test('pluginFolder() runs a folder as the gateway would: checked, bundled, with its own config', async (t) => {
  const folder = await folderWith(t, {
    'plugin.json': JSON.stringify({
      name: 'folder',
      version: '1.0.0',
      config: { word: 'hi' },
      scope: 'route',
    }),
    'plugin.ts': `
      import { shout } from './lib/shout.ts'
      export const PluginMain = (config: { word: string }) => ({
        name: 'folder',
        handle(ctx) {
          if (ctx.request.path === '/fail') throw new Error('in the folder')
          ctx.response.headers.set('x-word', shout(config.word))
          return true
        },
      })`,
    'lib/shout.ts': 'export const shout = (word: string): string => `${word.toUpperCase()}!`',
  })
  await using gateway = await testGateway({ plugins: [pluginFolder(folder)] })
  assert.equal((await gateway.fetch('/')).headers.get('x-word'), 'HI!')
  await gateway.fetch('/fail')
  assert.match(String(gateway.logs[0]?.fields.stack), /plugin\.ts:6/)
  await using other = await testGateway({ plugins: [pluginFolder(folder, { word: 'yo' })] })
  assert.equal((await other.fetch('/')).headers.get('x-word'), 'YO!')
})

test('pluginFolder() reports what the gateway would refuse', async (t) => {
  const manifest = JSON.stringify({ name: 'folder', version: '1.0.0' })
  const cases: [Record<string, string>, RegExp][] = [
    [{ 'plugin.json': manifest }, /has no entry file/],
    [{ 'plugin.json': '{', 'plugin.ts': '' }, /plugin\.json:1/],
    [{ 'plugin.json': manifest, 'plugin.ts': 'export const PluginMain = (' }, /Cannot build plugin "folder"/],
    [{ 'plugin.json': manifest, 'plugin.ts': 'export const Other = () => {}' }, /PluginMain is not exported/],
  ]
  for (const [files, reason] of cases) {
    const folder = await folderWith(t, files)
    await assert.rejects(testGateway({ plugins: [pluginFolder(folder)] }), reason)
  }
})
