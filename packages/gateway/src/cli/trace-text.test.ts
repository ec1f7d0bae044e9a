import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ExchangeTrace } from '../protocol/trace.ts'
import { trace } from './test-answers.ts'
import { COLORS, PLAIN } from './text.ts'
import { traceText } from './trace-text.ts'

const text = (parts: Partial<ExchangeTrace>, live: number | null = 14): string =>
  traceText(trace(parts), PLAIN, live)

test('traceText() shows the way through plugins and upstream, with times and status', () => {
  assert.equal(
    text({}),
    'GET /api/x → route api · auth 0.1 ms ✓ · http://127.0.0.1:3000 3.2 ms · 200 in 4.1 ms',
  )
})

test('traceText() shows who refused, with what', () => {
  const plugins = [
    { name: 'auth', handle: 0.1, onResponse: 0.24, outcome: 'passed' },
    { name: 'rate-limit', handle: 0.01, onResponse: 0, outcome: 'answered' },
  ] as const
  assert.equal(
    text({ plugins, target: null, status: 429, totalMs: 0.4 }),
    'GET /api/x → route api · auth 0.1 + 0.2 ms ✓ · rate-limit 0.0 ms ✗ 429 · 429 in 0.4 ms',
  )
})

test('traceText() tells an answer from a refusal, a failure and what was left out', () => {
  const one = (outcome: 'answered' | 'failed' | 'skipped', status: number) =>
    text({ plugins: [{ name: 'p', handle: 1, onResponse: 0, outcome }], target: null, status, totalMs: 1 })
  assert.equal(one('answered', 200), 'GET /api/x → route api · p 1.0 ms answers 200 · 200 in 1.0 ms')
  assert.equal(one('failed', 503), 'GET /api/x → route api · p 1.0 ms ✗ failed · 503 in 1.0 ms')
  assert.equal(one('skipped', 200), 'GET /api/x → route api · p skipped · 200 in 1.0 ms')
})

test('traceText() names errors, aborts, old generations and the lack of a route', () => {
  assert.equal(
    text({ error: 'UPSTREAM_CONNECT_FAILED', status: 502, plugins: [] }),
    'GET /api/x → route api · http://127.0.0.1:3000 3.2 ms · 502 in 4.1 ms UPSTREAM_CONNECT_FAILED',
  )
  assert.equal(
    text({ aborted: true, plugins: [], target: null }, 15),
    'GET /api/x → route api of generation 14 · the client went away in 4.1 ms',
  )
  assert.equal(
    text({ route: null, status: 404, plugins: [], target: null }, null),
    'GET /api/x → no route · 404 in 4.1 ms',
  )
})

test('traceText() stays one line, whatever the client sends', () => {
  const line = text({ url: `/\u001b[2J\n${'x'.repeat(5_000)}`, method: 'G\u0007T' })
  assert.doesNotMatch(line, /[\x00-\x1f]/)
  assert.ok(line.length < 250)
})

test('traceText() colours the outcome', () => {
  assert.ok(traceText(trace({ status: 503 }), COLORS, 14).includes('\u001b[31m503\u001b[0m in 4.1 ms'))
})
