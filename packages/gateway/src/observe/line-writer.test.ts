import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lineWriter } from './line-writer.ts'

/** What a descriptor takes: so many bytes at a time, or an error. */
function writerOn(steps: (number | string)[]) {
  const written: Buffer[] = []
  const write = lineWriter(-1, (bytes) => {
    const step = steps.shift() ?? bytes.length
    if (typeof step === 'string') throw Object.assign(new Error(step), { code: step })
    written.push(Buffer.from(bytes.subarray(0, step)))
    return Math.min(step, bytes.length)
  })
  return { write, text: () => Buffer.concat(written).toString() }
}

test('lineWriter() loses what cannot be written, and goes on when it can', () => {
  const { write, text } = writerOn(['ENOSPC', 'EIO'])
  write('one\n')
  write('two\n')
  write('three\n')
  assert.equal(text(), 'three\n')
})

test('lineWriter() begins the line after one that was cut on a line of its own', () => {
  const { write, text } = writerOn([5, 'ENOSPC', 'ENOSPC'])
  write('{"lost":1}\n')
  write('{"lost":2}\n')
  write('{"here":3}\n')
  write('{"here":4}\n')
  assert.equal(text(), '{"los\n{"here":3}\n{"here":4}\n')
})

test('lineWriter() waits for a reader that is slow, in the middle of a character too', () => {
  const { write, text } = writerOn(['EAGAIN', 1, 'EAGAIN', 1, 'EAGAIN'])
  write('é – ü\n')
  assert.equal(text(), 'é – ü\n')
})
