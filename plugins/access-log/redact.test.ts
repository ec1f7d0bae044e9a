import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AMBIGUOUS, authGate, defineConsumer, type Refusal } from '@cardea/sdk'
import type { TestPlugin } from '@cardea/sdk/testing'
import { redactionOf } from './redact.ts'
import { gatewayWith, jsonOf, lineOf, linesOf } from './test-bench.ts'

describe('secrets are not written', () => {
  const urls = [
    ['/a?page=2&token=abc', '/a?page=2&token=[redacted]'],
    ['/a?access_token=abc&x=1', '/a?access_token=[redacted]&x=1'],
    ['/a?accessToken=abc', '/a?accessToken=[redacted]'],
    ['/a?API-KEY=abc', '/a?API-KEY=[redacted]'],
    ['/a?user[password]=abc', '/a?user[password]=[redacted]'],
    ['/a?%74oken=abc', '/a?%74oken=[redacted]'],
    ['/a?X-Amz-Signature=abc', '/a?X-Amz-Signature=[redacted]'],
    ['/a?token=a=b&token=c', '/a?token=[redacted]&token=[redacted]'],
    ['/a?keyword=abc&monkey=1&token', '/a?keyword=abc&monkey=1&token'],
    ['/a?%zz=abc&token=b', '/a?%zz=abc&token=[redacted]'],
    ['/a?&&x&token=b&', '/a?&&x&token=[redacted]&'],
    ['/a?token&y=token&key=', '/a?token&y=token&key=[redacted]'],
    ['/a?token', '/a?token'],
    // Words in capitals, and names that are one word.
    ...['APIToken', 'IDToken', 'JWTToken', 'SSOToken', 'OTPCode', 'authtoken', 'accesstoken', 'accesskey'],
    ...['JSESSIONID', 'sid', 'passphrase', 'SAMLResponse', 'saml_response', 'client_assertion'],
    ...['phpSessId', 'AWSAccessKeyId', 'xAPIKey'],
  ].map((given): [string, string] =>
    typeof given === 'string'
      ? [`/a?${given}=abc`, `/a?${given}=[redacted]`]
      : [given[0] ?? '', given[1] ?? ''],
  )
  for (const [url, written] of urls) {
    test(`${url} is written as ${written}`, async () => {
      assert.equal((await jsonOf({}, url)).url, written)
      assert.ok((await lineOf({}, url)).includes(`"GET ${written} HTTP/1.1"`))
      assert.equal(
        (await jsonOf({}, '/', { headers: { referer: `https://a.example${url}` } })).referer,
        `https://a.example${written}`,
      )
    })
  }

  const KEY = 'ck_TmV2ZXIgdXNlIHRoaXMga2V5IGFueXdoZXJlIGVsc2U'
  const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl_-0'
  const lookalikes: [url: string, written: string][] = [
    [`/a?q=${KEY}&b=1`, '/a?q=[redacted]&b=1'],
    [`/a?q=${JWT}&b=1`, '/a?q=[redacted]&b=1'],
    [`/a/${KEY}/b?c=1`, '/a/[redacted]/b?c=1'],
    [`/a?${KEY}`, '/a?[redacted]'],
    [`/a?to=%2Fb%3Fk%3D${KEY}`, '/a?to=%2Fb%3Fk%3D[redacted]'],
    [`/a?q=${KEY.replace('_', '%5F')}`, '/a?q=[redacted]'],
    [`/a?q=${JWT.replaceAll('.', '%2e')}&b=1`, '/a?q=[redacted]&b=1'],
    ['/a?q=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0.', '/a?q=[redacted]'],
    [`/a?stack_${'x'.repeat(40)}=ck_short&q=eyJhbGciOiJIUzI1NiJ9.abc`, ''],
  ]
  for (const [url, written] of lookalikes) {
    test(`${url} is written as ${written === '' ? 'it is' : written}`, async () => {
      assert.equal((await jsonOf({}, url)).url, written === '' ? url : written)
      const headers = { referer: `https://a.example${url}` }
      const line = await jsonOf({ fields: ['referer', 'path'], redact_query: [] }, url, { headers })
      assert.equal(line.referer, `https://a.example${written === '' ? url : written}`)
      assert.equal(line.path, (written === '' ? url : written).split('?')[0])
    })
  }

  test('a text that is nothing but beginnings of secrets is gone through once', () => {
    const { path } = redactionOf([], [])
    // Some minutes if each beginning were followed to the end.
    for (const part of ['eyJ', 'ck_', '.eyJhbGciOi', '%41eyJhbGciOi', '_ck_a', 'eyJhbGciOi.a.']) {
      assert.ok(path(part.repeat(200_000)).length > 0)
    }
  })

  /** Lets in who has the right secret in the parameter `s p`; what is asked for at /early is answered before it. */
  const refusal: Refusal = { status: 401, code: 'WHO', detail: 'Nobody knows.', error: null }
  const early: TestPlugin = {
    manifest: { name: 'early', category: 'security', priority: 900 },
    main: () => ({
      name: 'early',
      handle: (ctx) => ctx.request.path !== '/early' || ctx.response.json('early'),
    }),
  }
  const guard: TestPlugin = {
    manifest: { name: 'guard', category: 'security', priority: 100 },
    main: () => {
      const challenges = [{ scheme: 'ApiKey', parameters: { realm: 'api' } }]
      const gate = authGate({ sources: [{ query: 's p' }, { header: 'x-key' }], challenges })
      const consumer = defineConsumer({ id: 'anna', method: 'test' })
      return {
        name: 'guard',
        handle(ctx) {
          const read = gate.read(ctx.request)
          if (read === AMBIGUOUS || read !== 'right') return gate.refuse(ctx, refusal)
          return gate.admit(ctx, { consumer, fieldValues: [] })
        },
      }
    },
  }

  test('what a plugin that authenticates takes for a credential, of any name, let in, refused or not asked', async () => {
    await using gateway = await gatewayWith(
      { format: 'json', fields: ['status', 'url', 'referer'], redact_query: [] },
      { plugins: [early, guard] },
    )
    const referer = 'https://gateway.test/?s+p=secret&b=2'
    for (const url of [
      '/a?s+p=right&b=1',
      '/a?b=1&s%20p=wrong',
      '/a?s+p=one&%73+p=two',
      '/early?s+p=secret&S+p=1',
    ]) {
      await gateway.fetch(url, { headers: { referer } })
    }
    const lines = (await linesOf(gateway)).map((line) => JSON.parse(line))
    assert.deepEqual(
      lines.map(({ status, url }) => [status, url]),
      [
        [200, '/a?s+p=[redacted]&b=1'],
        [401, '/a?b=1&s%20p=[redacted]'],
        [401, '/a?s+p=[redacted]&%73+p=[redacted]'],
        [200, '/early?s+p=[redacted]&S+p=1'],
      ],
    )
    for (const line of lines.slice(1)) assert.equal(line.referer, 'https://gateway.test/?s+p=[redacted]&b=2')
  })

  test('the address that an answer leads to, its fragment included', async () => {
    const fields = ['response_header.Location', 'response_header.content-location', 'request_header.location']
    const location = 'https://a.example/cb?code=abc&state=1#access_token=abc&expires_in=3600'
    const headers = { location, 'content-location': '/a#token=abc' }
    const upstream = () => ({ status: 302, headers })
    assert.deepEqual(await jsonOf({ fields }, '/', {}, { upstream }), {
      'response_header.Location':
        'https://a.example/cb?code=[redacted]&state=1#access_token=[redacted]&expires_in=3600',
      'response_header.content-location': '/a#token=[redacted]',
    })
  })

  test('the name and password in an address', async () => {
    const addresses: [written: string, redacted: string][] = [
      ['https://u:p@a.example/b?c=1', 'https://[redacted]@a.example/b?c=1'],
      ['HTTP://u:p@q@a.example', 'HTTP://[redacted]@a.example'],
      ['//token@a.example:81/', '//[redacted]@a.example:81/'],
      ['https://u:p@a.example?token=x#key=y', 'https://[redacted]@a.example?token=[redacted]#key=[redacted]'],
      ['https://a.example/@b?c=d@e#f@g', 'https://a.example/@b?c=d@e#f@g'],
      ['https://a.example?c=d@e', 'https://a.example?c=d@e'],
      ['/a@b', '/a@b'],
      // Within another address it is what a parameter or path says, and the README names the way out.
      ['/go?to=https://u:p@a.example/', '/go?to=https://u:p@a.example/'],
      [
        'https://u:p@b.example/?to=https://u:p@c.example',
        'https://[redacted]@b.example/?to=https://u:p@c.example',
      ],
    ]
    for (const [address, redacted] of addresses) {
      const upstream = () => ({ status: 302, headers: { location: address } })
      const fields = ['referer', 'response_header.location']
      const line = await jsonOf({ fields }, '/', { headers: { referer: address } }, { upstream })
      assert.deepEqual(line, { referer: redacted, 'response_header.location': redacted })
    }
  })

  test('keys and JWTs in headers that are asked for, also where no list names those', async () => {
    const key = `ck_${'a'.repeat(43)}`
    const headers = {
      'x-key': key,
      'x-original-url': `/a?k=${key}&b=c`,
      'x-assertion': 'as eyJhbGciOiJ.eyJz.c2ln',
    }
    const fields = Object.keys(headers).map((name) => `request_header.${name}`)
    assert.deepEqual(await jsonOf({ fields, redact_headers: [] }, '/', { headers }), {
      'request_header.x-key': '[redacted]',
      'request_header.x-original-url': '/a?k=[redacted]&b=c',
      'request_header.x-assertion': 'as [redacted]',
    })
  })

  test('headers that are asked for, too', async () => {
    const fields = ['authorization', 'cookie', 'x-api-key', 'x-plain'].map((name) => `request_header.${name}`)
    const headers = { authorization: 'Bearer abc', cookie: 'a=b', 'x-api-key': 'abc', 'x-plain': 'abc' }
    const upstream = () => ({ headers: { 'set-cookie': 'a=b' } })
    const line = await jsonOf(
      { fields: [...fields, 'response_header.Set-Cookie', 'request_header.Referer'] },
      '/',
      {
        headers: { ...headers, referer: 'https://a.example/?key=1' },
      },
      { upstream },
    )
    assert.deepEqual(line, {
      'request_header.authorization': '[redacted]',
      'request_header.cookie': '[redacted]',
      'request_header.x-api-key': '[redacted]',
      'request_header.x-plain': 'abc',
      'response_header.Set-Cookie': '[redacted]',
      'request_header.Referer': 'https://a.example/?key=[redacted]',
    })
  })

  test("what is secret is the config's to say", async () => {
    const config = { redact_query: ['pin'], redact_headers: [], fields: ['url', 'request_header.cookie'] }
    const line = await jsonOf(config, '/a?pin=1&token=2', { headers: { cookie: 'a=b' } })
    assert.deepEqual(line, { url: '/a?pin=[redacted]&token=2', 'request_header.cookie': 'a=b' })
  })
})
