import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { lenientViews } from './paths/lenient.ts'
import { adminSpellings } from './paths/spellings.ts'
import { StrictUpstream } from './smuggling/stage.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { GUARD, sendAll } from './support/guard.ts'
import type { StrictRequest } from './support/strict-http.ts'

/**
 * A plugin bound to a path is of no use if some spelling of that path reaches the upstream by another route. Whatever
 * spelling: the plugin sees the request, or the upstream does not.
 */

function startGuarded(t: TestContext, upstream: StrictUpstream): Promise<TestGateway> {
  return startGateway(t, {
    config: {
      workers: 1,
      upstreams: { app: { targets: [upstream.url] } },
      routes: [
        { name: 'admin', paths: ['/admin', '/admin/*'], upstream: 'app', plugins: { guard: {} } },
        { name: 'app', path: '/*', upstream: 'app' },
      ],
      log: { level: 'error' },
    },
    plugins: { guard: GUARD },
  })
}

const isGuarded = ({ fields }: StrictRequest): boolean =>
  fields.some(([name, value]) => name === 'x-guarded' && value === 'yes')

const looksLikeAdmin = ({ target }: StrictRequest): boolean =>
  [...lenientViews(target.replace(/\?.*$/s, ''))].some((path) => /^\/admin(\/|$)/.test(path))

/** Strange to look at, and of one meaning: no reason to refuse them. */
const ORDINARY = [
  '/admins',
  '/x;/admin',
  '/caf%c3%a9',
  '/%e9',
  '/100%25',
  '/100%2520x',
  '/a%20b',
  '/@x/:y/(z)',
  '/admin;x',
]

const heads = (targets: Iterable<string>): (readonly [string, string])[] =>
  Array.from(targets, (target) => [target, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`])

test('no spelling of a path walks past the plugin that is bound to it', async (t) => {
  await using upstream = await StrictUpstream.start()
  const gateway = await startGuarded(t, upstream)
  const targets = adminSpellings()
  assert.ok(targets.size > 3_000, `${targets.size} spellings`)
  const statuses = await sendAll(gateway.port, heads(targets))
  const requests = upstream.seenBy('')
  const past = requests.filter((request) => !isGuarded(request) && looksLikeAdmin(request))
  assert.deepEqual(new Set(past.map(({ target }) => target)), new Set())
  assert.deepEqual(upstream.violations, [])
  const served = [...statuses.values()].filter((status) => status !== 400)
  assert.deepEqual(new Set(served), new Set([200]))
  assert.equal(requests.length, served.length)
  // Not by refusing everything: what is plainly one thing or the other is served, with the plugin and without.
  assert.ok(requests.filter(isGuarded).length > 300)
  for (const target of ORDINARY) assert.equal(statuses.get(target), 200, target)
})

test('paths that differ in case are different paths', async (t) => {
  await using upstream = await StrictUpstream.start()
  const gateway = await startGuarded(t, upstream)
  // RFC 3986, 6.2.2.1: to take one for the other would serve a resource by the rules of another. Whoever has an upstream
  // that folds case binds the plugin to every path, or lists the spellings.
  await sendAll(gateway.port, heads(['/ADMIN', '/Admin/x', '/%41dmin']))
  assert.deepEqual(
    upstream
      .seenBy('')
      .map((request) => [request.target, isGuarded(request)])
      .sort(),
    [
      ['/ADMIN', false],
      ['/Admin', false],
      ['/Admin/x', false],
    ].sort(),
  )
})
