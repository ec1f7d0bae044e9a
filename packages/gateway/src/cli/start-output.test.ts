import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RouteSummary } from '../protocol/master-supervisor.ts'
import { renderStart, urlOf } from './start-output.ts'

const route: RouteSummary = {
  name: 'api',
  hosts: [],
  paths: ['/api/*'],
  methods: [],
  action: 'http://127.0.0.1:3000',
  chain: ['auth', 'login-limit (rate-limit)'],
}
const address = { host: '127.0.0.1', port: 8080 }
const render = (...routes: RouteSummary[]): string =>
  renderStart([address], { generation: 1, workers: 2, routes })

test('urlOf() shows all addresses as loopback and puts IPv6 into brackets', () => {
  assert.equal(urlOf({ host: '0.0.0.0', port: 80 }), 'http://127.0.0.1:80')
  assert.equal(urlOf({ host: '::', port: 80 }), 'http://127.0.0.1:80')
  assert.equal(urlOf({ host: '::1', port: 80 }), 'http://[::1]:80')
})

test('renderStart() begins with the address, one line a listener', () => {
  const text = renderStart([address, { host: '::1', port: 9 }], { generation: 1, workers: 1, routes: [] })
  assert.deepEqual(text.split('\n').slice(0, 2), [
    'Cardea is listening on http://127.0.0.1:8080',
    'Cardea is listening on http://[::1]:9',
  ])
})

test('renderStart() shows each chain in order, with the plugin behind an instance name', () => {
  assert.match(
    render(route),
    /^ {2}api: \/api\/\* {2}auth → login-limit \(rate-limit\) → http:\/\/127\.0\.0\.1:3000$/m,
  )
})

test('renderStart() gives a curl line that reaches the first route', () => {
  assert.match(render(route), /Try: curl -i http:\/\/127\.0\.0\.1:8080\/api\/\n/)
  const narrow = { ...route, hosts: ['*.example.com'], paths: ['/users/:id'], methods: ['POST'] }
  assert.match(
    render(narrow),
    /Try: curl -i -X POST -H 'Host: www\.example\.com' http:\/\/127\.0\.0\.1:8080\/users\/1\n/,
  )
})

test('renderStart() gives a curl line that a shell takes as it is meant', () => {
  const odd = { ...route, paths: ["/it's/a&b/*"] }
  assert.ok(render(odd).includes(`Try: curl -i 'http://127.0.0.1:8080/it'\\''s/a&b/'\n`), render(odd))
})

test('renderStart() without routes has no gap where they would stand, and nothing to try', () => {
  assert.ok(!render().includes('\n\n\n'), render())
  assert.doesNotMatch(render(), /Try|curl/)
})

test('renderStart() counts workers', () => {
  assert.match(render(), /generation 1, 2 workers/)
})
