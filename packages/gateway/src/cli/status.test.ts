import assert from 'node:assert/strict'
import { test } from 'node:test'
import { statusText } from './status.ts'
import { NOW, status } from './test-answers.ts'
import { PLAIN } from './text.ts'

test('status shows the addresses that nobody can listen on, why, since when, and that they are tried again', () => {
  const reason =
    'Cannot listen on 127.0.0.1:8081: the address is in use. Choose another port, or stop what uses it.'
  const lost = { host: '127.0.0.1', port: 8081, reason, since: NOW - 12_000, retryMs: 1_000 }
  const given = status({
    lostAddresses: [
      { ...lost, systemCode: 'EADDRINUSE' },
      { ...lost, host: 'gone.test', reason: 'The name has no address.', systemCode: null },
    ],
    workers: [],
    plugins: [],
    instances: [],
  })
  assert.equal(
    statusText(given, { paint: PLAIN, now: () => NOW }),
    `Gateway in /srv/shop, started 3 h ago: generation 14 serves
  http://127.0.0.1:8080

Not listened on
  http://127.0.0.1:8081 (EADDRINUSE, since 12 s ago)
    ${reason} It is tried again every 1 s.
  http://gone.test:8081 (since 12 s ago)
    The name has no address. It is tried again every 1 s.
`,
  )
})
