import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ErrorCode } from '../base/errors.ts'
import { type Refusal, RefusalLog } from './refusal-log.ts'
import { Sweeper } from './sweeper.ts'
import { VirtualClock } from './testing/virtual-clock.ts'

interface Line {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>> | undefined
}

function refusalLog() {
  const lines: Line[] = []
  const at = (level: string) => (message: string, fields?: Line['fields']) =>
    void lines.push({ level, message, fields })
  const clock = new VirtualClock()
  const sweeper = new Sweeper(clock, (error) => {
    throw error
  })
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  return { clock, lines, refusals: new RefusalLog(log, sweeper) }
}

const refusal = (requestId: string, code: ErrorCode = 'REQUEST_MALFORMED'): Refusal => ({
  code,
  detail: 'The Host field is missing (RFC 9112, 3.2)',
  clientIp: '192.0.2.7',
  requestId,
})

describe('RefusalLog', () => {
  it('tells of the first at once: what, why, whom, and the id that the client has', () => {
    const { lines, refusals } = refusalLog()
    refusals.note(refusal('a'))
    assert.deepEqual(lines, [
      {
        level: 'info',
        message: 'A request was refused: The request is not valid HTTP/1.1',
        fields: { ...refusal('a'), count: 1 },
      },
    ])
  })

  it('tells of the others together, with the latest, when ten seconds are over', async () => {
    const { clock, lines, refusals } = refusalLog()
    for (const id of ['a', 'b', 'c', 'd']) refusals.note(refusal(id))
    await clock.advance(9_900)
    assert.equal(lines.length, 1)
    await clock.advance(200)
    assert.equal(lines[1]?.message, '3 requests were refused: The request is not valid HTTP/1.1')
    assert.deepEqual(lines[1]?.fields, { ...refusal('d'), count: 3 })
    await clock.advance(60_000)
    assert.equal(lines.length, 2)
    refusals.note(refusal('e'))
    assert.equal(lines.length, 3)
  })

  it('says no more than one line in ten seconds, however many there are', async () => {
    const { clock, lines, refusals } = refusalLog()
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < 100; i++) refusals.note(refusal(`${second}-${i}`))
      await clock.advance(1_000)
    }
    refusals.report()
    assert.ok(lines.length <= 7, `${lines.length} lines`)
    const counts = lines.map(({ fields }) => Number(fields?.count))
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      6_000,
    )
  })

  it('keeps codes apart, and warns of what is not the fault of clients', () => {
    const { lines, refusals } = refusalLog()
    for (const code of ['REQUEST_MALFORMED', 'REQUEST_HEAD_TIMEOUT', 'GATEWAY_OVERLOADED'] as const) {
      for (const id of ['a', 'b']) refusals.note(refusal(id, code))
    }
    assert.deepEqual(
      lines.map(({ level, fields }) => [level, fields?.code]),
      [
        ['info', 'REQUEST_MALFORMED'],
        ['info', 'REQUEST_HEAD_TIMEOUT'],
        ['warn', 'GATEWAY_OVERLOADED'],
      ],
    )
  })

  it('tells at the end what is left', () => {
    const { lines, refusals } = refusalLog()
    for (const id of ['a', 'b', 'c']) refusals.note(refusal(id))
    refusals.report()
    assert.deepEqual(lines[1]?.fields, { ...refusal('c'), count: 2 })
    refusals.report()
    assert.equal(lines.length, 2)
  })
})
