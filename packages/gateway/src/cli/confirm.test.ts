import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { confirmOn } from './confirm.ts'

const terminal = () => Object.assign(new PassThrough(), { isTTY: true })

test('confirmOn() asks, and takes for a yes only what is one', async () => {
  for (const [typed, isYes] of [
    ['y\n', true],
    [' YES \r\n', true],
    ['\n', false],
    ['n\n', false],
    ['yes, but\n', false],
    // Without a line break: the terminal was closed.
    ['', false],
  ] as const) {
    const [input, output] = [terminal(), terminal()]
    const confirm = confirmOn(input, output) ?? assert.fail('no terminal')
    const answer = confirm('Really?')
    assert.equal(String(output.read()), 'Really? [y/N] ')
    input.end(typed)
    assert.equal(await answer, isYes, JSON.stringify(typed))
  }
})

test('confirmOn() has nobody to ask where the question or the answer goes elsewhere', () => {
  assert.equal(confirmOn(terminal(), new PassThrough()), null)
  assert.equal(confirmOn(new PassThrough(), terminal()), null)
})
