import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { defineConsumer, type Sink, setConsumer } from '@cardea/sdk'
import { type TestPlugin, testGateway } from '@cardea/sdk/testing'
import { PluginMain } from './plugin.ts'
import { type Config, gatewayWith, jsonOf, lineOf, linesOf } from './test-bench.ts'

const AGENT = { 'user-agent': 'curl/8.0', referer: 'https://example.com/a' }
const TIME = String.raw`\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]`
const somebody: TestPlugin = {
  manifest: { name: 'auth', category: 'security' },
  main: () => ({
    name: 'auth',
    handle: (ctx) => setConsumer(ctx, defineConsumer({ id: 'mobile app', method: 'test' })),
  }),
}

describe('a line', () => {
  test('of format common', async () => {
    const line = await lineOf(
      { format: 'common' },
      '/a?page=2',
      { headers: AGENT },
      { upstream: () => ({ body: 'hello' }) },
    )
    assert.match(line, new RegExp(`^192\\.0\\.2\\.1 - - ${TIME} "GET /a\\?page=2 HTTP/1\\.1" 200 5$`))
  })

  test('of format combined, with the consumer and without content', async () => {
    const line = await lineOf({}, '/', { method: 'DELETE', headers: AGENT }, { plugins: [somebody] })
    const wanted = `^192\\.0\\.2\\.1 - mobile\\\\x20app ${TIME} "DELETE / HTTP/1\\.1" 200 - "https://example\\.com/a" "curl/8\\.0"$`
    assert.match(line, new RegExp(wanted))
    assert.match(await lineOf({}, '/'), / "-" "-"$/)
  })

  test('of format json has what there is, and numbers are numbers', async () => {
    const line = await jsonOf(
      {},
      '/a?page=2',
      { method: 'POST', headers: AGENT, body: 'abc' },
      {
        plugins: [somebody],
        upstream: () => ({ status: 201, body: 'hello' }),
      },
    )
    const { time, id, duration_ms: duration, ...rest } = line
    assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.ok(typeof id === 'string' && id !== '')
    assert.ok(typeof duration === 'number' && duration >= 0)
    assert.deepEqual(rest, {
      client_ip: '192.0.2.1',
      consumer: 'mobile app',
      method: 'POST',
      host: 'gateway.test',
      url: '/a?page=2',
      protocol: 'HTTP/1.1',
      status: 201,
      request_bytes: 3,
      response_bytes: 5,
      route: 'route-1',
      target: 'http://upstream.test',
      user_agent: 'curl/8.0',
      referer: 'https://example.com/a',
      aborted: false,
    })
  })

  test('has the fields that are asked for, in their order', async () => {
    const fields = [
      'status',
      'request_header.X-Trace',
      'response_header.content-type',
      'path',
      'query',
      'request_header.none',
    ]
    const upstream = () => ({ headers: { 'content-type': 'text/plain' } })
    const line = await lineOf(
      { format: 'json', fields },
      '/a?b=c',
      { headers: { 'x-trace': 't1' } },
      { upstream },
    )
    assert.equal(
      line,
      '{"status":200,"request_header.X-Trace":"t1","response_header.content-type":"text/plain","path":"/a","query":"b=c"}',
    )
  })

  test('of a template', async () => {
    const template = '{{{method}}} {path} "{user_agent}" {request_header.x-none} {aborted}'
    const headers = { 'user-agent': 'a "b"' }
    assert.equal(
      await lineOf({ format: 'template', template }, '/x', { headers }),
      '{GET} /x "a \\x22b\\x22" - false',
    )
  })

  test('tells what the gateway made of it: its own errors, and a client that went away', async () => {
    const refused = await jsonOf({}, '/', {}, { upstream: { connect: () => 'refuse' } })
    assert.equal(refused.status, 502)
    assert.equal(refused.error, 'UPSTREAM_CONNECT_FAILED')
    await using gateway = await gatewayWith({ format: 'json' }, { upstream: () => ({ delayMs: 5_000 }) })
    const leaving = new AbortController()
    const left = gateway.fetch('/', { signal: leaving.signal })
    left.catch(() => {})
    await gateway.clock.advance(10)
    leaving.abort()
    const [line = '{}'] = await linesOf(gateway)
    assert.equal(JSON.parse(line).aborted, true)
  })

  test('goes to another file, or to stdout', async () => {
    await using gateway = await gatewayWith({ file: 'shop/requests.log' })
    await gateway.fetch('/')
    assert.equal((await linesOf(gateway, 'shop/requests.log')).length, 1)
    await using other = await gatewayWith({ file: '-' })
    await other.fetch('/')
    assert.equal((await linesOf(other, '-')).length, 1)
  })
})

describe('nobody writes lines but the gateway', () => {
  const nasty: [what: string, value: string][] = [
    ['a quote', 'a" 200 0 "-" "x'],
    ['a backslash', 'a\\'],
    ['a tab', 'a\tb'],
    ['an escape of C1, which terminals follow', 'a\u009b31mb'],
    ['DEL', 'a\u007fb'],
    ['bytes of UTF-8', 'a\u00e2\u0080\u00a8b'],
  ]
  for (const [what, value] of nasty) {
    test(`${what} in a header is text, in every format`, async () => {
      const headers = { 'user-agent': value }
      for (const format of ['combined', 'json', 'template']) {
        await using gateway = await gatewayWith({ format, template: '"{user_agent}"' })
        // What no head can hold is refused before there is a line.
        const response = await gateway.fetch('/', { headers })
        if (response.status === 400) continue
        const [line = ''] = await linesOf(gateway)
        assert.match(line, /^[ -~]+$/)
        if (format === 'json') assert.equal(JSON.parse(line).user_agent, value)
        else assert.match(line, /(?:^|" )"(?:[^"\\]|\\x[0-9A-F]{2})*"$/)
      }
    })
  }

  test('what a consumer is called cannot either', async () => {
    const forged: TestPlugin = {
      main: () => ({
        name: 'forged',
        handle: (ctx) =>
          setConsumer(ctx, defineConsumer({ id: 'a\n127.0.0.1 - root\u2028"\u202e', method: 'test' })),
      }),
    }
    for (const format of ['common', 'combined', 'json']) {
      const line = await lineOf({ format }, '/', {}, { plugins: [forged] })
      assert.match(line, /^[ -~]+$/)
    }
    const line = await lineOf({ format: 'common' }, '/', {}, { plugins: [forged] })
    assert.match(line, / - a\\x0A127\.0\.0\.1\\x20-\\x20root\\u2028\\x22\\u202e \[/)
  })

  test('a long value is cut', async () => {
    const line = await jsonOf({ fields: ['user_agent'] }, '/', {
      headers: { 'user-agent': 'a'.repeat(9_000) },
    })
    assert.equal(String(line.user_agent).length, 8_195)
  })
})

describe('of many exchanges', () => {
  test('a sample is written, and whatever went wrong', async (t) => {
    t.mock.method(Math, 'random', () => 0.5)
    const upstream = (request: { url: string }) => ({ status: Number(request.url.slice(1)) })
    for (const [sample, wanted] of [
      [0.4, [404, 500, 503]],
      [0.6, [200, 302, 404, 500, 503]],
      [0, [404, 500, 503]],
    ] as const) {
      await using gateway = await gatewayWith(
        { format: 'json', fields: ['status'], sample, sample_below_status: 404 },
        { upstream },
      )
      for (const status of [200, 302, 404, 500, 503]) await gateway.fetch(`/${status}`)
      const written = (await linesOf(gateway)).map((line) => JSON.parse(line).status)
      assert.deepEqual(written, wanted)
    }
  })

  test('what the disk does not take is dropped, counted, never waited for, and the next line tells', async () => {
    const lines: string[] = []
    const full = { from: 1, until: 3, dropped: 0, writes: 0 }
    const sink: Sink = {
      write(line) {
        const isFull = full.writes >= full.from && full.writes < full.until
        full.writes += 1
        if (isFull) full.dropped += 1
        else lines.push(line)
        return !isFull
      },
      get dropped() {
        return full.dropped
      },
    }
    const manifest = JSON.parse(readFileSync(join(import.meta.dirname, 'plugin.json'), 'utf8'))
    const plugin: TestPlugin<Parameters<typeof PluginMain>[0]> = {
      manifest,
      main: (config, host) => PluginMain(config, { ...host, sink: () => sink }),
      config: { format: 'json', fields: ['path'] },
    }
    await using gateway = await testGateway({ plugins: [plugin] })
    for (let request = 1; request <= 5; request++)
      assert.equal((await gateway.fetch(`/${request}`)).status, 200)
    assert.deepEqual(lines, ['{"path":"/1"}', '{"path":"/4","dropped_before":2}', '{"path":"/5"}'])
  })
})

describe('a config is refused', () => {
  const refusals: [config: Config, why: RegExp][] = [
    [
      { format: 'json', fields: ['colour'] },
      /there is no field "colour"; there are aborted, client_ip, .*request_header\.NAME/,
    ],
    [{ format: 'json', fields: ['constructor'] }, /there is no field "constructor"/],
    [{ format: 'template', template: '' }, /"template" names no field/],
    [{ format: 'template', template: '{method' }, /has a "\{" without its other half/],
    [{ format: 'template', template: 'method}' }, /has a "\}" without its other half/],
    [{ format: 'template', template: '{methd}' }, /there is no field "methd"/],
    [{ format: 'xml' }, /format/],
    [{ file: '../access.log' }, /is not a file of the logs folder/],
    [{ file: 'access.log.1' }, /name of a rotated file/],
    [{ rotate_every: '10ms' }, /"rotate_every" is 10ms; use at least 1s/],
    [{ sample: 2 }, /sample/],
  ]
  for (const [config, why] of refusals) {
    test(`${JSON.stringify(config)}`, () => assert.rejects(gatewayWith(config), why))
  }
})
