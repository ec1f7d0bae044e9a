import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enter } from './compare.ts'
import { parseOptions } from './options.ts'
import { PEERS } from './peers/all.ts'
import { answerFaults } from './proxy.ts'
import { SCENARIOS, SMALL_BODY } from './scenarios.ts'
import { parseAccepted } from './upstream.ts'

function scenario(name: string) {
  const found = SCENARIOS.find((one) => one.name === name)
  assert.ok(found)
  return found
}

test('parseOptions() refuses unknown benches, scenarios, peers and options, and says what there is', () => {
  assert.throws(() => parseOptions(['speed']), /no bench "speed"; choose compare/)
  assert.throws(() => parseOptions(['--only', 'small,huge']), /no scenario "huge"; choose from small/)
  assert.throws(() => parseOptions(['--peers', 'apache']), /no peer "apache"; choose from cardea/)
  assert.throws(() => parseOptions(['--fast']), /--fast/)
})

test('parseOptions() refuses counts that are not whole and positive', () => {
  for (const bad of ['0', '1.5', '-1', 'x', '']) {
    assert.throws(() => parseOptions([`--seconds=${bad}`]), /--seconds is .* whole number, at least 1/)
  }
})

test('parseOptions() takes everything by default, and less when told', () => {
  const all = parseOptions([])
  assert.deepEqual([all.what, all.scenarios, all.peers, all.partial], ['compare', SCENARIOS, null, false])
  const some = parseOptions(['--quick', '--only', 'close', '--repeats', '3', '--proxy-core', '0'])
  assert.deepEqual([some.timing.repeats, some.proxyCore, some.partial], [3, 0, true])
  assert.deepEqual(some.scenarios, [scenario('close')])
})

test('SMALL_BODY has the 54 bytes that the scenario is named for', () => {
  assert.equal(Buffer.byteLength(SMALL_BODY), 54)
})

test('enter() lets a peer in only where it has all variants and is meant for the scenario', () => {
  const names = (name: string) =>
    enter(scenario(name), PEERS).map(({ peer, variant }) => `${peer.name} ${variant}`)
  assert.deepEqual(names('plugins'), ['cardea plain', 'cardea plugins'])
  assert.deepEqual(names('key-auth'), ['cardea plain', 'cardea built-in'])
  assert.ok(names('64k').includes('nginx-large-buffers plain'))
  assert.ok(!names('small').includes('nginx-large-buffers plain'))
  assert.ok(names('logging').every((name) => name.endsWith(' logging')))
})

test('answerFaults() names a wrong status, length and persistence', () => {
  const close = scenario('close')
  const fine = { status: 200, bytes: 54, connection: 'close', pluginMarks: 0 }
  assert.deepEqual(answerFaults({ ...fine, status: 502, bytes: 0, connection: '' }, close, 'plain'), [
    'status 502 instead of 200',
    '0 bytes instead of 54',
    'the answer does not close',
  ])
  const kept = answerFaults(fine, scenario('small'), 'plain')
  assert.deepEqual(kept, ['the answer closes the connection'])
  assert.deepEqual(answerFaults(fine, close, 'plain'), [])
})

test('answerFaults() sees that plugins ran where they should, and only there', () => {
  const answer = { status: 200, bytes: 54, connection: '', pluginMarks: 2 }
  const five = scenario('plugins')
  assert.deepEqual(answerFaults(answer, five, 'plugins'), [])
  assert.deepEqual(answerFaults(answer, five, 'plain'), ['plugins ran where none should'])
  assert.deepEqual(answerFaults({ ...answer, pluginMarks: 0 }, five, 'plugins'), ['the plugins did not run'])
})

test('parseAccepted() throws on anything but stub_status', () => {
  assert.throws(() => parseAccepted('<html>404</html>'), /not stub_status/)
})

test('parseAccepted() takes the accepted connections', () => {
  const text =
    'Active connections: 3 \nserver accepts handled requests\n 16 15 310 \nReading: 0 Writing: 1 Waiting: 2 \n'
  assert.equal(parseAccepted(text), 16)
})
