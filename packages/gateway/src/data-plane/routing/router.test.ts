import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RoutePlan } from '../../protocol/generation.ts'
import { normalizePath, PathFindings } from './path.ts'
import { compileRouter, RouteMatch } from './router.ts'
import { route } from './test-support.ts'

interface Asked {
  readonly host?: string
  readonly path?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

function ask(routes: readonly RoutePlan[], { host = '', path = '/', method = 'GET', headers = {} }: Asked) {
  const out = new RouteMatch()
  const fields = { get: (name: string) => headers[name] ?? null }
  const found = compileRouter(routes).match(host, path, method, fields, out)
  return { name: found?.name ?? null, params: out.params, allow: out.allow }
}

function byPath(...paths: string[]): RoutePlan[] {
  return paths.map((path) => route(path, { paths: [path] }))
}

function byHost(...hosts: string[]): RoutePlan[] {
  return hosts.map((host) => route(host, { hosts: [host] }))
}

describe('compileRouter() refuses', () => {
  const cases: readonly [Partial<RoutePlan>, RegExp][] = [
    [{ paths: ['api'] }, /Path "api" cannot match any request: The path must start with "\/"/],
    [{ paths: ['/a b'] }, /percent-encoded/],
    [{ paths: ['/a/../b'] }, /dot segments.*write "\/b"/],
    [{ paths: ['/a/.'] }, /dot segments.*write "\/a\/"/],
    [{ paths: ['/a/*/b'] }, /"\*" that is not its last segment/],
    [{ paths: ['/a*'] }, /"\*" that is not its last segment/],
    [{ paths: ['/a/:'] }, /the parameter ":"/],
    [{ paths: ['/:1a'] }, /the parameter ":1a"/],
    [{ paths: ['/:a.json'] }, /the parameter ":a.json"/],
    [{ paths: ['/:__proto__'] }, /the parameter ":__proto__"/],
    [{ paths: ['/:a/:a'] }, /the parameter ":a" twice/],
    [{ paths: ['/a//b'] }, /add empty_segment to allow_in_path/],
    [{ paths: ['/a%2Fb'] }, /add encoded_slash to allow_in_path/],
    [{ paths: ['/\ud800'] }, /not valid Unicode/],
    [{ hosts: [''] }, /Host "" is neither/],
    [{ hosts: ['a..b'] }, /is neither/],
    [{ hosts: ['.a'] }, /is neither/],
    [{ hosts: ['*.'] }, /is neither/],
    [{ hosts: ['a.*.b'] }, /is neither/],
    [{ hosts: ['*a.b'] }, /is neither/],
    [{ hosts: ['a b'] }, /is neither/],
    [{ hosts: ['127.1'] }, /is neither/],
    [{ hosts: ['web.1'] }, /is neither/],
    [{ hosts: ['*.0.0.1'] }, /is neither/],
    [{ hosts: [`*.${'a.'.repeat(126)}a`] }, /is neither/],
    [{ hosts: [`${'a.'.repeat(127)}a`] }, /is neither/],
    [{ hosts: ['http://a'] }, /has the port/],
    [{ hosts: ['a:'] }, /has the port ""/],
    [{ hosts: ['a:0'] }, /has the port "0"/],
    [{ hosts: ['a:65536'] }, /has the port "65536"/],
    [{ hosts: ['[::1'] }, /port|IPv6/],
    [{ hosts: ['[::g]'] }, /not an IPv6 address/],
    [{ hosts: ['[::1]/x'] }, /not an IPv6 address/],
    [{ hosts: ['[::1]@[::2]'] }, /not an IPv6 address/],
  ]
  for (const [rest, message] of cases) {
    it(JSON.stringify(rest), () => {
      assert.throws(() => compileRouter([route('bad', rest)]), { code: 'CONFIG_INVALID', message })
    })
  }
})

describe('Router.match() by path', () => {
  const cases: readonly [paths: string[], path: string, expected: string | null][] = [
    [['/a'], '/a', '/a'],
    [['/a'], '/a/', null],
    [['/a'], '/A', null],
    [['/a'], '/ab', null],
    [['/a'], '/a/b', null],
    [['/a', '/*'], '/a;x=y', '/a'],
    [['/a/*', '/*'], '/a;x/b;y', '/a/*'],
    [['/a', '/a;x'], '/a;x', '/a;x'],
    [['/a', '/a;x'], '/a;y', '/a'],
    [['/a;x', '/*'], '/a', '/*'],
    [['/a;x/b', '/a/c', '/*'], '/a;x/c', '/a/c'],
    [['/a', '/*'], '/a%3Bx', '/a'],
    [['/a', '/*'], '/a%253Bx', '/a'],
    [['/a', '/*'], '/%2561', '/a'],
    [['/caf\u00e9', '/*'], '/caf%25C3%25A9', '/caf\u00e9'],
    [['/a/'], '/a/', '/a/'],
    [['/a/'], '/a', null],
    [['/'], '/', '/'],
    [['/'], '/a', null],
    [['/*'], '/', '/*'],
    [['/*'], '/a/b/c', '/*'],
    [['/api/*'], '/api', '/api/*'],
    [['/api/*'], '/api/', '/api/*'],
    [['/api/*'], '/api/x/y', '/api/*'],
    [['/api/*'], '/apix', null],
    [['/api/*', '/api'], '/api', '/api'],
    [['/api/*', '/api/'], '/api/', '/api/'],
    [['/api/*', '/api/'], '/api', '/api/*'],
    [['/:x'], '/', null],
    [['/:x'], '/a/', null],
    [['/a/:x/'], '/a/b/', '/a/:x/'],
    [['/:x', '/*'], '/', '/*'],
    [['/a', '/:x', '/*'], '/a', '/a'],
    [['/a', '/:x', '/*'], '/b', '/:x'],
    [['/a', '/:x', '/*'], '/b/c', '/*'],
    [['/a/:x/c', '/a/b/*'], '/a/b/c', '/a/b/*'],
    [['/a/:x/c', '/a/b/d'], '/a/b/c', '/a/:x/c'],
    [['/a/*', '/:x/b'], '/a/b', '/a/*'],
    [['/a/b', '/:x/c'], '/a/c', '/:x/c'],
    [['/a/b/c', '/a/:x/:y', '/:p/b/d', '/*'], '/a/b/d', '/a/:x/:y'],
    [['/a/b/c', '/:p/:q/e', '/*'], '/a/b/f', '/*'],
    [['/a/b/*', '/a/*', '/*'], '/a/bc', '/a/*'],
    [['/@me/*'], '/%40me/x', '/@me/*'],
    [['/%40me/*'], '/@me/x', '/%40me/*'],
    [['/%3Aid'], '/:id', '/%3Aid'],
    [['/%3Aid'], '/x', null],
    [['/a%2A'], '/a*', '/a%2A'],
    [['/caf\u00e9'], '/caf%C3%A9', '/caf\u00e9'],
    [['/v1/books:batch'], '/v1/books:batch', '/v1/books:batch'],
    [['/constructor', '/__proto__'], '/__proto__', '/__proto__'],
    [['/a'], '/toString', null],
  ]
  for (const [paths, path, expected] of cases) {
    it(`of ${paths.join(' ')} gives ${path} to ${expected}`, () => {
      assert.equal(ask(byPath(...paths), { path }).name, expected)
      assert.equal(ask(byPath(...paths.toReversed()), { path }).name, expected)
    })
  }

  it('tells many literal siblings apart', () => {
    const paths = Array.from({ length: 30 }, (_, index) => `/item-${index}/*`)
    for (const path of paths) assert.equal(ask(byPath(...paths), { path: path.replace('*', 'x') }).name, path)
    assert.equal(ask(byPath(...paths), { path: '/item-30/x' }).name, null)
  })

  it('tries each path once, however long the path and however often branches fail', () => {
    // Every mix of `a` and `:p` over six levels: each leaf matches the path, and its headers never do.
    const mixes = Array.from({ length: 64 }, (_, mix) =>
      Array.from({ length: 6 }, (_, level) => ((mix >> level) & 1 ? '/a' : `/:p${level}`)).join(''),
    )
    const router = compileRouter(
      mixes.map((path) => route(path, { paths: [`${path}/*`], headers: { x: '1' } })),
    )
    let fieldReads = 0
    const get = () => {
      fieldReads++
      return null
    }
    assert.equal(router.match('', '/a'.repeat(4_000), 'GET', { get }, new RouteMatch()), null)
    // Once to find a route, once more for the Allow field.
    assert.equal(fieldReads, 2 * mixes.length)
  })
})

describe('Router.match() by host', () => {
  const cases: readonly [hosts: string[], host: string, expected: string | null][] = [
    [['example.com'], 'example.com', 'example.com'],
    [['example.com'], 'EXAMPLE.com', 'example.com'],
    [['Example.COM'], 'example.com', 'Example.COM'],
    [['example.com'], 'example.com.', 'example.com'],
    [['example.com.'], 'example.com', 'example.com.'],
    [['example.com'], 'example.com:8080', 'example.com'],
    [['example.com'], 'example.com.:8080', 'example.com'],
    [['example.com'], 'www.example.com', null],
    [['example.com'], '', null],
    [['*'], '', '*'],
    [['*'], 'x', '*'],
    [['*.example.com'], 'example.com', null],
    [['*.example.com'], '.example.com', null],
    [['*.example.com'], 'badexample.com', null],
    [['*.example.com'], 'a.example.com', '*.example.com'],
    [['*.example.com'], 'a.b.example.com:1', '*.example.com'],
    [['*.example.com', '*.b.example.com', '*'], 'a.b.example.com', '*.b.example.com'],
    [['*.example.com', '*.b.example.com', '*'], 'b.example.com', '*.example.com'],
    [['a.example.com', '*.example.com', '*'], 'a.example.com', 'a.example.com'],
    [['a.example.com', '*.example.com', '*'], 'example.com', '*'],
    [['*.example.com', '*'], `${'a.'.repeat(200)}example.com`, '*.example.com'],
    [['a.com:8443', 'a.com'], 'a.com:8443', 'a.com:8443'],
    [['a.com:8443', 'a.com'], 'a.com', 'a.com'],
    [['a.com:8443', 'a.com'], 'a.com:443', 'a.com'],
    [['a.com:8443'], 'a.com', null],
    [['a.com:8443', '*'], 'a.com:08443', 'a.com:8443'],
    [['a.com:8443', '*'], 'a.com:0', '*'],
    [['127.0.0.1', '*'], '127.0.0.1.', '127.0.0.1'],
    [['*.com:8443', 'a.com'], 'a.com:8443', 'a.com'],
    [['*.com:8443', '*.com'], 'a.com:8443', '*.com:8443'],
    [['*.com:8443', '*.a.com'], 'b.a.com:8443', '*.a.com'],
    [['*:8443', '*'], 'a.com:8443', '*:8443'],
    [['*:8443', '*'], 'a.com', '*'],
    [['[::1]'], '[::1]:80', '[::1]'],
    [['[::1]'], '[0:0::0:1]', '[::1]'],
    [['[2001:DB8::1]:80'], '[2001:db8::1]:80', '[2001:DB8::1]:80'],
    [['[::1]'], '[::2]', null],
    [['[::1]'], '[::1', null],
    [['[::1]'], '[::1]@[::2]', null],
    [['b\u00fccher.de'], 'xn--bcher-kva.de', 'b\u00fccher.de'],
    [['constructor', '*'], '__proto__', '*'],
  ]
  for (const [hosts, host, expected] of cases) {
    it(`of ${hosts.join(' ')} gives ${JSON.stringify(host.slice(0, 40))} to ${expected}`, () => {
      assert.equal(ask(byHost(...hosts), { host }).name, expected)
      assert.equal(ask(byHost(...hosts.toReversed()), { host }).name, expected)
    })
  }

  it('falls through to a less specific host whose path matches', () => {
    const routes = [
      route('exact', { hosts: ['a.x.com'], paths: ['/exact'] }),
      route('wild', { hosts: ['*.x.com'], paths: ['/wild'] }),
      route('any', { paths: ['/any'] }),
    ]
    for (const name of ['exact', 'wild', 'any']) {
      assert.equal(ask(routes, { host: 'a.x.com', path: `/${name}` }).name, name)
    }
    assert.equal(ask(routes, { host: 'x.com', path: '/wild' }).name, null)
  })

  it('prefers a host to a more specific path', () => {
    const routes = [route('host', { hosts: ['a.com'] }), route('path', { paths: ['/a/b'] })]
    assert.equal(ask(routes, { host: 'a.com', path: '/a/b' }).name, 'host')
  })

  it('answers each of two hosts that take turns', () => {
    const router = compileRouter(byHost('a.com', 'b.com'))
    const out = new RouteMatch()
    for (const host of ['a.com', 'b.com', 'a.com', 'c.com', 'b.com']) {
      const found = router.match(host, '/', 'GET', { get: () => null }, out)
      assert.equal(found?.name ?? 'c.com', host)
    }
  })
})

describe('Router.match() by method and headers', () => {
  const read = route('read', { methods: ['GET'] })
  const write = route('write', { methods: ['POST', 'PUT'] })
  const head = route('head', { methods: ['HEAD'] })
  const any = route('any')

  it('says which methods would do', () => {
    assert.deepEqual(ask([read, write], { method: 'DELETE' }), {
      name: null,
      params: {},
      allow: 'GET, HEAD, POST, PUT',
    })
    assert.equal(
      ask([read, route('x', { paths: ['/x'], methods: ['DELETE'] })], { method: 'PUT' }).allow,
      'GET, HEAD',
    )
  })

  it('allows nothing where no method would do', () => {
    assert.equal(ask([route('x', { paths: ['/x'], methods: ['GET'] })], { method: 'GET' }).allow, '')
    assert.equal(ask([route('x', { methods: ['GET'], headers: { v: '2' } })], { method: 'PUT' }).allow, '')
  })

  it('collects what hosts and paths of all ranks allow', () => {
    const routes = [
      route('a', { hosts: ['a.com'], paths: ['/x/:id'], methods: ['PUT'] }),
      route('b', { paths: ['/x/y'], methods: ['DELETE'] }),
      route('c', { paths: ['/x/*'], methods: ['PATCH'] }),
    ]
    assert.equal(ask(routes, { host: 'a.com', path: '/x/y' }).allow, 'DELETE, PATCH, PUT')
  })

  it('compares methods as they are', () => assert.equal(ask([read], { method: 'get' }).name, null))

  it('gives HEAD to a GET route, unless one names HEAD', () => {
    assert.equal(ask([read, any], { method: 'HEAD' }).name, 'read')
    assert.equal(ask([read, head, any], { method: 'HEAD' }).name, 'head')
    assert.equal(ask([head, any], { method: 'GET' }).name, 'any')
  })

  it('prefers a named method to headers, and the rest to any method', () => {
    const tagged = route('tagged', { headers: { x: '1' } })
    assert.equal(ask([tagged, read], { headers: { x: '1' } }).name, 'read')
    assert.equal(ask([any, read], { method: 'DELETE' }).name, 'any')
  })

  it('prefers more conditions, then values to presence, and passes over what does not match', () => {
    const routes = [
      any,
      route('there', { headers: { x: null } }),
      route('value', { headers: { x: '1' } }),
      route('both', { headers: { x: null, y: null } }),
    ]
    assert.equal(ask(routes, { headers: { x: '1', y: '' } }).name, 'both')
    assert.equal(ask(routes, { headers: { x: '1' } }).name, 'value')
    assert.equal(ask(routes, { headers: { x: '2' } }).name, 'there')
    assert.equal(ask(routes, { headers: { y: '2' } }).name, 'any')
  })

  it('passes over a more specific path whose headers or method do not match', () => {
    const routes = [
      route('beta', { paths: ['/a/b'], headers: { beta: '1' } }),
      route('post', { paths: ['/a/:x'], methods: ['POST'] }),
      any,
    ]
    assert.equal(ask(routes, { path: '/a/b', headers: { beta: '1' } }).name, 'beta')
    assert.equal(ask(routes, { path: '/a/b', method: 'POST' }).name, 'post')
    assert.equal(ask(routes, { path: '/a/b' }).name, 'any')
  })
})

describe('Router.match() params', () => {
  const cases: readonly [pattern: string, path: string, params: Record<string, string>][] = [
    ['/a', '/a', {}],
    ['/:a/x/:b', '/1/x/2', { a: '1', b: '2' }],
    ['/:a/:b/*', '/1/2/3/4', { a: '1', b: '2' }],
    ['/:a/*', '/1', { a: '1' }],
    ['/:a', '/caf%C3%A9%20%25', { a: 'caf\u00e9 %' }],
    ['/:a', '/%FF%20', { a: '%FF%20' }],
    ['/:a', '/x%2Fy', { a: 'x/y' }],
    ['/@x/:a', '/%40x/%40y', { a: '@y' }],
    ['/:constructor/:_id', '/x/y', { constructor: 'x', _id: 'y' }],
  ]
  for (const [pattern, path, params] of cases) {
    it(`of ${pattern} for ${path}`, () => {
      const asked = ask(byPath(pattern), { path })
      assert.equal(asked.name, pattern)
      assert.deepEqual({ ...asked.params }, params)
    })
  }

  it('of an earlier match stay valid, and are gone from the next', () => {
    const router = compileRouter(byPath('/:a', '/x/y'))
    const out = new RouteMatch()
    const fields = { get: () => null }
    router.match('', '/1', 'GET', fields, out)
    const { params } = out
    router.match('', '/x/y', 'GET', fields, out)
    assert.deepEqual([params, out.params], [{ a: '1' }, {}])
    router.match('', '/1', 'GET', fields, out)
    router.match('', '/1/2/3', 'GET', fields, out)
    assert.deepEqual(out.params, {})
  })
})

describe('CompiledRoute.allowedOddities', () => {
  it('lets through what the route allows and nothing else', () => {
    const findings = new PathFindings()
    const path = normalizePath('/files/a%2Fb', findings)
    const router = compileRouter([
      route('files', { paths: ['/files/*'], allowInPath: ['encoded_slash', 'empty_segment'] }),
      route('rest'),
    ])
    const found = router.match('', path, 'GET', { get: () => null }, new RouteMatch())
    assert.equal(found?.name, 'files')
    assert.equal(findings.oddities & ~(found?.allowedOddities ?? 0), 0)
    normalizePath('/a%5Cb', findings)
    assert.notEqual(findings.oddities & ~(found?.allowedOddities ?? 0), 0)
    assert.equal(router.routes[1]?.allowedOddities, 0)
  })
})
