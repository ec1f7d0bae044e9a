import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRequest } from './control-request.ts'

function parse(value: unknown): unknown {
  const parsed = parseRequest(typeof value === 'string' ? value : JSON.stringify(value))
  return parsed.ok ? parsed.request : `${parsed.id} ${parsed.error.message}`
}

const REQUESTS = [
  { command: 'status' },
  { command: 'approve' },
  { command: 'history', limit: 20 },
  { command: 'rollback', generation: 3 },
  { command: 'rollback', generation: null },
  { command: 'config-diff', generation: null },
  { command: 'release', unit: null },
  { command: 'release', unit: 'auth' },
  { command: 'plugin-versions', plugin: 'auth' },
  { command: 'plugin-rollback', plugin: 'auth', version: null },
  { command: 'plugin-rollback', plugin: 'auth', version: '1.0.0' },
  { command: 'plugin-enable', plugin: 'auth' },
  { command: 'plugin-disable', plugin: 'auth' },
  { command: 'plugin-reload', plugin: 'auth' },
  { command: 'plugin-info', plugin: 'auth' },
  { command: 'watch', traces: true },
]

test('parseRequest() reads every command, and nothing that is not its own', () => {
  for (const command of REQUESTS) {
    const request = { id: 7, who: 'ann', ...command }
    assert.deepEqual(parse({ ...request, extra: 1, toString: 'x' }), request)
  }
})

test('parseRequest() asks for what a command needs, each field once', () => {
  for (const command of REQUESTS) {
    const request: Record<string, unknown> = { id: 7, who: 'ann', ...command }
    for (const key of Object.keys(request)) {
      for (const wrong of [undefined, {}, [], '', 1.5, -1, 0, Number.MAX_VALUE]) {
        const parsed = parseRequest(JSON.stringify({ ...request, [key]: wrong }))
        assert.ok(
          !parsed.ok && parsed.error.message.includes(`"${key}"`),
          `${key} ${wrong} ${parse(request)}`,
        )
        assert.equal(parsed.id, key === 'id' ? 0 : 7)
      }
    }
  }
})

test('parseRequest() reads what is to be approved where somebody says it', () => {
  const request = { id: 7, who: 'ann', command: 'approve', heldId: '3f9a1c2b' }
  assert.deepEqual(parse({ ...request, extra: 1 }), request)
  for (const heldId of [null, '', 7, ['3f9a1c2b']]) {
    assert.equal(parse({ ...request, heldId }), '7 Cannot read the request: "heldId" is not a text.')
  }
})

test('parseRequest() says what is wrong', () => {
  const cases: [unknown, string][] = [
    ['GET / HTTP/1.1\r', '0 Cannot read the request: it is not JSON.'],
    ['[{"id":1}]', '0 Cannot read the request: it is not a JSON object.'],
    ['null', '0 Cannot read the request: it is not a JSON object.'],
    [{ id: '1' }, '0 Cannot read the request: "id" is not a positive whole number.'],
    [
      { id: 1, who: 'ann', command: 'stop' },
      '1 Cannot read the request: "command" is "stop", which is none.',
    ],
    [
      { id: 1, who: 'ann', command: 'history', limit: 1001 },
      '1 Cannot read the request: "limit" is not a whole number from 1 to 1000.',
    ],
    [
      { id: 1, who: 'a\u001b[2J', command: 'status' },
      '1 Cannot read the request: "who" holds control characters.',
    ],
    [
      { id: 1, who: 'a'.repeat(201), command: 'status' },
      '1 Cannot read the request: "who" is longer than 200 characters.',
    ],
    [
      { id: 1, who: 'ann', command: 'constructor' },
      '1 Cannot read the request: "command" is "constructor", which is none.',
    ],
  ]
  for (const [value, sentence] of cases) assert.equal(parse(value), sentence)
})

test('parseRequest() survives what JSON can hold', () => {
  assert.match(String(parse('['.repeat(30_000))), /^0 Cannot read the request/)
  assert.match(String(parse('{"__proto__":{"id":1,"who":"ann","command":"status"}}')), /^0 .*"id"/)
})
