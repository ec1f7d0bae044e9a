import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lenientViews } from './hosts/lenient.ts'
import { BOUND, hostSpellings, NAMES } from './hosts/spellings.ts'
import { startGateway } from './support/gateway.ts'
import { GUARD, sendAll } from './support/guard.ts'
import { RecordingUpstream } from './support/recording-upstream.ts'

/**
 * A plugin bound to a host is of no use if some spelling of that host reaches the upstream by another route. Whatever
 * spelling: the plugin sees the request, or the upstream does not.
 */

/** What a server takes for one of the bound hosts, once it has made its one form of it. */
const IS_BOUND =
  /^(?:a\.example\.com(?::\d+)?|.+\.w\.example\.com(?::\d+)?|127\.0\.0\.1(?::\d+)?|\[::1\](?::\d+)?|xn--bcher-kva\.example(?::\d+)?|p\.example:8443)$/s

/** Strange to look at, and of one meaning: no reason to refuse them. */
const SERVED_WITH_IT = [
  'a.example.com',
  'A.Example.COM.:80',
  'a.example.com:',
  'a_b.w.example.com',
  "!$&'()*+;=~.w.example.com",
  `${'a'.repeat(239)}.w.example.com.`,
  '127.0.0.1.',
  '[0:0:0:0:0:0:0:1]:80',
  'XN--BCHER-KVA.Example',
  'p.example:08443',
  ' a.example.com\t',
]
const SERVED_WITHOUT = [
  'w.example.com',
  'example.com',
  'b.a.example.com',
  'p.example',
  'p.example:8444',
  'a-b_c',
  '1.example',
]

const asField = (host: string): readonly [string, string] => [
  `Host: ${host}`,
  `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
]

/** RFC 9112, 3.2.2: the authority of the target replaces the field. */
const asAuthority = (host: string): readonly [string, string] => [
  `http://${host}`,
  `GET http://${host}/ HTTP/1.1\r\nHost: b\r\n\r\n`,
]

test('no spelling of a host walks past the plugin that is bound to it', async (t) => {
  await using upstream = await RecordingUpstream.start()
  const gateway = await startGateway(t, {
    config: {
      workers: 1,
      upstreams: { app: { targets: [upstream.url] } },
      routes: [
        { name: 'bound', hosts: BOUND, upstream: 'app', plugins: { guard: {} } },
        { name: 'rest', upstream: 'app' },
      ],
      log: { level: 'error' },
    },
    plugins: { guard: GUARD },
  })
  const spellings = new Set([...hostSpellings(), ...SERVED_WITH_IT, ...SERVED_WITHOUT])
  assert.ok(spellings.size > 3_000, `${spellings.size} spellings`)
  const statuses = await sendAll(gateway.port, [
    ...Array.from(spellings, asField),
    ...Array.from(NAMES, asAuthority),
  ])
  const seen = upstream.requests.map((request) => ({
    host: /\r\nhost: ?(.*?)\r\n/i.exec(request)?.[1] ?? '',
    guarded: /\r\nx-guarded: yes\r\n/i.test(request),
  }))
  const past = seen.filter(
    ({ host, guarded }) => !guarded && [...lenientViews(host)].some((view) => IS_BOUND.test(view)),
  )
  assert.deepEqual(new Set(past.map(({ host }) => host)), new Set())
  const served = [...statuses.values()].filter((status) => status !== 400)
  assert.deepEqual(new Set(served), new Set([200]))
  assert.equal(seen.length, served.length)
  // Not by refusing everything: what is plainly one thing or the other is served, with the plugin and without.
  for (const host of SERVED_WITH_IT) {
    assert.equal(statuses.get(`Host: ${host}`), 200, host)
    assert.ok(
      seen.some((one) => one.host === host.trim() && one.guarded),
      host,
    )
  }
  for (const host of SERVED_WITHOUT) {
    assert.equal(statuses.get(`Host: ${host}`), 200, host)
    assert.ok(
      seen.some((one) => one.host === host && !one.guarded),
      host,
    )
  }
})
