import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GatewayError } from '../base/errors.ts'
import { logMistake, logStep } from './lifecycle-log.ts'

function collectingLog() {
  const lines: unknown[] = []
  const write =
    (level: string) =>
    (message: string, fields: unknown): void =>
      void lines.push({ level, message, fields })
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  return { log, lines }
}

const plugin = { folder: '/p/a', name: 'a', version: '1.0.0' }

test('logStep() writes a failure with stage, code and the place of the first fault', () => {
  const { log, lines } = collectingLog()
  const fault = {
    code: 'PLUGIN_BUILD_FAILED',
    message: 'Wrong.',
    file: '/p/a/x.ts',
    line: 3,
    column: 9,
  } as const
  const faults = [fault, { ...fault, line: 5 }]
  logStep(log, { ...plugin, state: { kind: 'failed', stage: 'build', faults } })
  const { code, file, line } = fault
  const fields = {
    plugin: 'a',
    version: '1.0.0',
    folder: '/p/a',
    state: 'failed',
    stage: 'build',
    code,
    file,
    line,
    faults: 2,
  }
  assert.deepEqual(lines, [{ level: 'debug', message: 'Plugin "a" failed at stage build', fields }])
})

test('logStep() writes every other step for debugging', () => {
  const { log, lines } = collectingLog()
  logStep(log, { ...plugin, state: { kind: 'active', generation: 1 } })
  const fields = { plugin: 'a', version: '1.0.0', folder: '/p/a', state: 'active', generation: 1 }
  assert.deepEqual(lines, [{ level: 'debug', message: 'Plugin "a" is active', fields }])
})

test('logMistake() asks for a report, and says that nothing of what serves has changed', () => {
  const { log, lines } = collectingLog()
  logMistake(log as never, new GatewayError('INTERNAL_ERROR', 'Cannot take plugin "a" from active to active'))
  const message =
    'An invariant of the gateway did not hold, which changes nothing of what serves; please report it: ' +
    'Cannot take plugin "a" from active to active'
  assert.deepEqual(lines, [{ level: 'error', message, fields: { code: 'INTERNAL_ERROR' } }])
})
