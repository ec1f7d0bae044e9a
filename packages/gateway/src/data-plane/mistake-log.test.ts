import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MistakeLog } from './mistake-log.ts'
import { Sweeper } from './sweeper.ts'
import { VirtualClock } from './testing/virtual-clock.ts'

type Fields = Readonly<Record<string, unknown>> | undefined

function mistakeLog() {
  const lines: Fields[] = []
  const add = (_: string, fields?: Fields) => void lines.push(fields)
  const clock = new VirtualClock()
  const sweeper = new Sweeper(clock, (error) => {
    throw error
  })
  const mistakes = new MistakeLog({ debug: add, info: add, warn: add, error: add }, sweeper)
  return { clock, lines, mistakes }
}

const madeHere = (message: string): Error => new Error(message)
const madeThere = (message: string): Error => new Error(message)

describe('MistakeLog', () => {
  it('tells of the first at once, and of what follows from the same place in one line each ten seconds', async () => {
    const { clock, lines, mistakes } = mistakeLog()
    for (let count = 0; count < 1_000; count++) mistakes.note(madeHere('it went wrong'))
    assert.equal(lines.length, 1)
    await clock.advance(10_100)
    assert.deepEqual(
      lines.map((fields) => fields?.count),
      [1, 999],
    )
    assert.match(`${lines[1]?.stack}`, /it went wrong\n +at .*madeHere/)
  })

  it('tells of places apart, and not of messages, which may be different for each request', () => {
    const { lines, mistakes } = mistakeLog()
    for (const id of ['one', 'two\n    at three']) {
      mistakes.note(madeHere(id))
      mistakes.note(madeThere(id))
    }
    assert.equal(lines.length, 2)
  })

  it('tells of what is no error, and has no call in its stack, without its place', () => {
    const { lines, mistakes } = mistakeLog()
    for (const thrown of [
      'text',
      'other text',
      undefined,
      Object.assign(new Error('x'), { stack: 'none' }),
    ]) {
      mistakes.note(thrown)
    }
    assert.deepEqual(lines, [{ code: 'INTERNAL_ERROR', stack: 'text', count: 1 }])
    mistakes.report()
    assert.equal(lines[1]?.count, 3)
  })
})
