import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { RoutePlan } from '../../protocol/generation.ts'
import { normalizePath, PathFindings } from './path.ts'
import { compileLocation, compileRewrite } from './rewrite.ts'
import { compileRouter, RouteMatch } from './router.ts'
import { redirect, route } from './test-support.ts'

const ALL_ODDITIES = ['encoded_slash', 'encoded_backslash', 'encoded_null', 'empty_segment'] as const

function matched(plan: RoutePlan, path: string): RouteMatch {
  const out = new RouteMatch()
  const found = compileRouter([plan]).match('', path, 'GET', { get: () => null }, out)
  assert.equal(found?.name, plan.name, `${path} does not match`)
  return out
}

function rewritten(plan: RoutePlan, path: string): string | undefined {
  return compileRewrite(plan)?.apply(path, matched(plan, path))
}

function location(plan: RoutePlan, path: string, query = ''): string | undefined {
  return compileLocation(plan)?.apply(matched(plan, path), query)
}

describe('compileRewrite() refuses', () => {
  const cases: readonly [Partial<RoutePlan>, RegExp][] = [
    [{ stripPrefix: '/a', rewrite: '/b' }, /both strip_prefix and rewrite/],
    [{ stripPrefix: 'a' }, /strip_prefix "a".*start with/],
    [{ stripPrefix: '/' }, /strip_prefix "\/".*such as "\/api"/],
    [{ stripPrefix: '/a/*' }, /such as "\/api"/],
    [{ stripPrefix: '/../a' }, /climbs/],
    [{ rewrite: 'a' }, /rewrite "a".*start with/],
    [{ rewrite: '/a?b=c' }, /percent-encoded/],
    [{ rewrite: '/a//b' }, /empty segment/],
    [{ rewrite: '/a%2Fb' }, /encoded separator/],
    [{ rewrite: '/a/*/b' }, /"\*" is not the last/],
    [{ rewrite: '/*/*' }, /"\*" is not the last/],
    [{ rewrite: '/..*' }, /climbs/],
    [{ rewrite: '/*', paths: ['/*', '/a'] }, /uses "\*" in rewrite, but its path "\/a" has none/],
    [{ rewrite: '/:id' }, /uses ":id" in rewrite.*write "%3A"/],
    [{ rewrite: '/:id', paths: ['/x/:id', '/y/:name'] }, /its path "\/y\/:name" has none/],
    [{ rewrite: '/%:id', paths: ['/:id'] }, /hexadecimal/],
  ]
  for (const [rest, message] of cases) {
    it(JSON.stringify(rest), () => {
      assert.throws(() => compileRewrite(route('bad', rest)), { code: 'CONFIG_INVALID', message })
    })
  }
})

describe('compileRewrite()', () => {
  it('is null for a route that changes nothing', () => assert.equal(compileRewrite(route('plain')), null))

  const stripped: readonly [prefix: string, path: string, expected: string][] = [
    ['/api', '/api', '/'],
    ['/api', '/api/', '/'],
    ['/api/', '/api/x/y', '/x/y'],
    ['/api', '/apix', '/apix'],
    ['/api', '/other/api', '/other/api'],
    ['/api/v1', '/api/v1/x', '/x'],
    ['/%61pi', '/api/x', '/x'],
    ['/@me', '/%40me/%40x', '/%40x'],
    ['/@me/a', '/%40me/a', '/'],
    ['/%40me', '/@me/x', '/x'],
    ['/@me', '/%40meet/x', '/%40meet/x'],
    ['/caf\u00e9', '/caf%C3%A9/x', '/x'],
    ['/api', '/api;v=1/x;y', '/x;y'],
    ['/api', '/api;v=1', '/'],
    ['/api', '/%2561pi/x', '/x'],
  ]
  for (const [stripPrefix, path, expected] of stripped) {
    it(`strips ${stripPrefix} from ${path}`, () => {
      assert.equal(rewritten(route('strip', { stripPrefix }), path), expected)
    })
  }

  const templates: readonly [pattern: string, template: string, path: string, expected: string][] = [
    ['/*', '/fixed', '/any', '/fixed'],
    ['/api/*', '/v2/*', '/api/x/y', '/v2/x/y'],
    ['/api/*', '/v2/*', '/api/', '/v2/'],
    ['/api/*', '/v2/*', '/api', '/v2/'],
    ['/api/*', '/*', '/api', '/'],
    ['/users/:id', '/u-:id.json', '/users/7', '/u-7.json'],
    ['/:a/:b/*', '/:b/:a/*', '/1/2/3/4', '/2/1/3/4'],
    ['/:a', '/x/:a', '/%C3%A9%20%FF', '/x/%C3%A9%20%FF'],
    ['/:a', '/x/:a/:a', '/%40', '/x/%40/%40'],
    ['/@x/*', '/*', '/%40x/%3Fy', '/%3Fy'],
    ['/:a', '/%61%3Ab/:a', '/1', '/a%3Ab/1'],
    ['/*', '/caf\u00e9/*', '/x', '/caf%C3%A9/x'],
  ]
  for (const [pattern, rewrite, path, expected] of templates) {
    it(`rewrites ${path} by ${rewrite}`, () => {
      assert.equal(rewritten(route('rewrite', { paths: [pattern], rewrite }), path), expected)
    })
  }
})

describe('compileLocation() refuses', () => {
  const cases: readonly [location: string, RegExp][] = [
    ['', /not a URI/],
    ['/a b', /not a URI/],
    ['/a\r\nx: y', /not a URI/],
    ['/\\evil.com', /not a URI/],
    ['evil', /starts with "\/"/],
    ['?a=b', /starts with "\/"/],
    ['*', /starts with "\/"/],
    [':id', /starts with "\/"/],
    ['https:', /starts with "\/"/],
    ['https:/*', /starts with "\/"/],
    ['https://', /starts with "\/"/],
    ['///*', /starts with "\/"/],
    ['//*', /No part of the host/],
    ['https://*', /No part of the host/],
    ['https://:id/', /No part of the host/],
    ['https://:id.example.com/', /No part of the host/],
    ['https://example.com:id/', /No part of the host/],
    ['https://a@example.com/', /No part of the host/],
    [':id://example.com/', /No part of the host/],
    ['javascript:alert(1)', /starts with "\/"/],
    ['javascript://x/%0Aalert(1)', /starts with "\/"/],
    ['/:nope', /uses ":nope" in redirect/],
  ]
  for (const [text, message] of cases) {
    it(JSON.stringify(text), () => {
      assert.throws(() => compileLocation(redirect(text, ['/:id/*'])), { code: 'CONFIG_INVALID', message })
    })
  }
})

describe('LocationTemplate.apply()', () => {
  const cases: readonly [pattern: string, location: string, path: string, query: string, expected: string][] =
    [
      ['/*', '/new', '/old', '', '/new'],
      ['/*', 'https://example.com', '/old', '', 'https://example.com'],
      ['/*', 'https://example.com:8443/*', '/a/b', '?c=d', 'https://example.com:8443/a/b?c=d'],
      ['/*', '//[::1]:80/*', '/a', '', '//[::1]:80/a'],
      ['/old/*', '/new/*', '/old', '?q', '/new/?q'],
      ['/old/:id', '/new/:id#top', '/old/7', '?q', '/new/7?q#top'],
      ['/:id', '/x?id=:id', '/7', '?q', '/x?id=7'],
      ['/:id', '/x?id=:id', '/a&b=c;d+e%26%C3%A9', '', '/x?id=a%26b%3Dc%3Bd%2Be%26%C3%A9'],
      ['/:id', '/x?id=:id#:id', '/%FF', '', '/x?id=%25FF#%25FF'],
      ['/*', '/x?path=*', '/a/b', '', '/x?path=a%2Fb'],
      ['/*', '/*', '/%0D%0Ax', '', '/%0D%0Ax'],
      ['/*', '/*', '/a', '?a#b\u00e9 "<', '/a?a%23b%E9%20"<'],
      ['/*', '/*', '//evil.com', '', '/evil.com'],
      ['/*', '/*', '////evil.com//x', '', '/evil.com//x'],
      ['/*', '/*', '/%5Cevil.com', '', '/%5Cevil.com'],
      ['/go/*', '/*', '/go//evil.com', '', '/evil.com'],
      ['/*', '/a/*', '//evil.com', '', '/a//evil.com'],
    ]
  for (const [pattern, text, path, query, expected] of cases) {
    it(`makes ${JSON.stringify(path + query)} ${expected} by ${text}`, () => {
      const plan = { ...redirect(text, [pattern]), allowInPath: ALL_ODDITIES }
      assert.equal(location(plan, path, query), expected)
    })
  }

  it('keeps to the configured origin whatever the client sends', () => {
    const findings = new PathFindings()
    const plans = ['/*', '/:a', 'https://example.com/*', '/x?y=*#:a', 'https://example.com/?:a'].map(
      (text) => ({
        ...redirect(text, ['/:a/*']),
        allowInPath: ALL_ODDITIES,
      }),
    )
    const piece = fc.constantFrom(
      '/',
      '//',
      '\\',
      '%5c',
      '%2f',
      '@',
      ':',
      'evil.com',
      '%0d%0a',
      '%00',
      '#',
      '?',
      '.',
      '..',
    )
    fc.assert(
      fc.property(fc.array(piece), fc.string(), fc.constantFrom(...plans), (pieces, query, plan) => {
        const path = normalizePath(`/a${pieces.join('')}`, findings)
        fc.pre(/^\/[^/]/.test(path))
        const text = location(plan, path, `?${query}`) ?? ''
        assert.match(text, /^[!-~]+$/)
        const base = 'http://gateway.test'
        assert.ok([base, 'https://example.com'].includes(new URL(text, base).origin), text)
      }),
      { numRuns: 2_000 },
    )
  })
})
