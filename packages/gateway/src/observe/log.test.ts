import assert from 'node:assert/strict'
import { test } from 'node:test'
import { REDACTED } from '../base/secret-keys.ts'
import { createLog, type LogOptions } from './log.ts'

function captured(options: Partial<LogOptions> = {}) {
  const writes: string[] = []
  const log = createLog({
    settings: { level: 'info', format: 'json' },
    process: 'worker',
    workerNumber: 2,
    stream: { write: (text: string) => void writes.push(text) },
    ...options,
  })
  return { log, writes, last: () => JSON.parse(writes.at(-1) ?? '') as Record<string, unknown> }
}

test('createLog() writes one line in one write, line breaks of the message escaped', () => {
  const { log, writes } = captured()
  log.error('first\nsecond', { stack: 'a\nb' })
  assert.equal(writes.length, 1)
  assert.equal(writes[0]?.indexOf('\n'), (writes[0]?.length ?? 0) - 1)
})

test('createLog() cuts an endless message', () => {
  const { log, writes } = captured()
  log.info('x'.repeat(1_000_000))
  assert.ok((writes[0]?.length ?? 0) < 5_000)
})

test('createLog() writes nothing below its level', () => {
  const { log, writes } = captured({ settings: { level: 'error', format: 'json' } })
  log.warn('no')
  log.info('no', { a: 1 })
  assert.deepEqual(writes, [])
})

test('createLog() with a level for plugins writes their lines by it, and nothing that events tell', () => {
  const { log, writes } = captured({ settings: { level: 'warn', format: 'json', pluginLevel: 'info' } })
  log.info('no')
  log.events.error('no')
  log.plugins.debug('no')
  log.plugins.info('of a plugin')
  log.warn('of the gateway')
  assert.deepEqual(
    writes.map((text) => JSON.parse(text).message),
    ['of a plugin', 'of the gateway'],
  )
  log.apply({ level: 'warn', format: 'json' })
  log.plugins.info('no')
  log.events.error('told')
  assert.equal(writes.length, 3)
})

test('createLog() redacts secrets among the fields', () => {
  const { log, last } = captured()
  log.info('request', { headers: { cookie: 'a=b' } })
  assert.deepEqual(last().headers, { cookie: REDACTED })
})

test('createLog() keeps its own names when a caller uses them too', () => {
  const { log, writes, last } = captured()
  log.info('the message', { level: 'mine', message: 'mine', pid: 'mine', worker: 'mine' })
  assert.equal(last().level, 'info')
  assert.equal(last().message, 'the message')
  assert.equal(last().level_, 'mine')
  assert.equal(writes[0]?.match(/"(level|message|pid|worker)":/g)?.length, 4)
})

test('createLog() names level, time, process and worker', () => {
  const { log, last } = captured()
  log.warn('hello')
  const { time, ...rest } = last()
  assert.equal(new Date(String(time)).toISOString(), time)
  assert.deepEqual(rest, { level: 'warn', pid: process.pid, process: 'worker', worker: 2, message: 'hello' })
})
