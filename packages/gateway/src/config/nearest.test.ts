import assert from 'node:assert/strict'
import { test } from 'node:test'
import { editDistance, nearestOf } from './nearest.ts'

test('nearestOf() gives null when nothing is near', () => {
  assert.equal(nearestOf('colour', ['port', 'host']), null)
  assert.equal(nearestOf('b', ['a']), null)
  assert.equal(nearestOf('', ['a']), null)
  assert.equal(nearestOf('port', []), null)
  assert.equal(nearestOf('conf', ['configure', 'configured']), null)
})

test('nearestOf() gives up on texts that are too long to compare cheaply', () => {
  assert.equal(nearestOf('a'.repeat(101), ['a'.repeat(100)]), null)
})

test('nearestOf() does not offer the very same text', () => {
  assert.equal(nearestOf('port', ['port']), null)
})

for (const [given, candidates, wanted] of [
  ['prot', ['host', 'port'], 'port'],
  ['headBytes', ['head_bytes', 'body_bytes'], 'head_bytes'],
  ['plugins-dir', ['plugins', 'plugins_dir'], 'plugins_dir'],
  ['upstrem', ['upstream', 'upstreams'], 'upstream'],
  ['Cors', ['cors'], 'cors'],
  ['conf', ['plugin', 'config'], 'config'],
  ['request_body', ['request_body_bytes', 'body'], 'request_body_bytes'],
] as const) {
  test(`nearestOf() takes "${given}" for "${wanted}"`, () =>
    assert.equal(nearestOf(given, candidates), wanted))
}

test('editDistance() counts a swap of neighbours as one', () => {
  assert.equal(editDistance('prot', 'port'), 1)
  assert.equal(editDistance('', 'abc'), 3)
  assert.equal(editDistance('kitten', 'sitting'), 3)
})
