import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LineCutter, LineTooLong } from './line-cutter.ts'

test('LineCutter gives the same lines wherever the bytes are split', () => {
  const bytes = Buffer.from('{"a":"ü→😀"}\n\nx\r\nrest')
  for (let first = 0; first <= bytes.length; first += 1) {
    for (let second = first; second <= bytes.length; second += 1) {
      const cutter = new LineCutter(100)
      const pieces = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]
      const lines = pieces.flatMap((piece) => cutter.push(piece))
      assert.deepEqual([...lines, cutter.end()], ['{"a":"ü→😀"}', '', 'x\r', 'rest'])
    }
  }
})

test('LineCutter takes a line of just the length and refuses one byte more, in one piece or many', () => {
  assert.deepEqual(new LineCutter(4).push(Buffer.from('1234\n1234\n')), ['1234', '1234'])
  assert.throws(() => new LineCutter(4).push(Buffer.from('12345\n')), LineTooLong)
  const slow = new LineCutter(4)
  for (const byte of '1234') slow.push(Buffer.from(byte))
  assert.throws(() => slow.push(Buffer.from('5')), LineTooLong)
})

test('LineCutter counts bytes, not characters', () => {
  assert.throws(() => new LineCutter(3).push(Buffer.from('éé')), LineTooLong)
})
