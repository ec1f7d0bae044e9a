import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectFailure } from './connect-failure.ts'

const failure = (code: string) => connectFailure(Object.assign(new Error(code), { code }), 'It failed')

test('connectFailure() tells a name, a target and a shortage of our own from one another', () => {
  for (const code of ['ENOTFOUND', 'EAI_AGAIN']) assert.equal(failure(code).code, 'UPSTREAM_DNS_FAILED')
  for (const code of ['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'CERT_HAS_EXPIRED']) {
    assert.equal(failure(code).code, 'UPSTREAM_CONNECT_FAILED')
  }
  assert.equal(connectFailure(null, 'It was closed').code, 'UPSTREAM_CONNECT_FAILED')
  for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']) {
    const { code: told, source, message } = failure(code)
    // No target is to be taken out of rotation for it.
    assert.deepEqual([told, source], ['GATEWAY_OVERLOADED', 'gateway'])
    assert.match(message, new RegExp(code))
  }
})
