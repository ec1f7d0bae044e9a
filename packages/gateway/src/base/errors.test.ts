import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isInstance, messageOf, stackOf } from './errors.ts'

const fail = (): never => {
  throw new Error('looked at')
}
/** Throws whatever is asked of it. */
const hostile = new Proxy(new Error('inside'), {
  get: fail,
  has: fail,
  getPrototypeOf: fail,
  ownKeys: fail,
  getOwnPropertyDescriptor: fail,
})

function errorWith(name: 'message' | 'stack', get: () => unknown): Error {
  return Object.defineProperty(new Error('plain'), name, { get })
}

test('messageOf() makes a sentence of whatever was thrown', () => {
  const cases: readonly (readonly [thrown: unknown, sentence: string])[] = [
    [new TypeError('a sentence'), 'a sentence'],
    ['a string', 'a string'],
    [undefined, 'a thrown undefined'],
    [null, 'a thrown null'],
    [Object.create(null), 'a thrown object'],
    [Symbol('s'), 'a thrown symbol'],
    [errorWith('message', fail), 'an error whose message cannot be read'],
    [errorWith('message', () => Object.create(null)), 'an error whose message cannot be read'],
    [errorWith('message', () => 42), '42'],
    [hostile, 'an error whose message cannot be read'],
  ]
  for (const [thrown, sentence] of cases) assert.equal(messageOf(thrown), sentence)
})

test('stackOf() survives an error that gives no stack', () => {
  assert.match(stackOf(new Error('plain')), /^Error: plain\n {4}at /)
  assert.equal(stackOf(errorWith('stack', () => 7)), 'Error: plain')
  assert.equal(stackOf(errorWith('stack', fail)), 'an error whose stack cannot be read')
  assert.equal(stackOf(hostile), 'an error whose stack cannot be read')
})

test('isInstance() tells what a thing is, of nothing when it will not be looked at', () => {
  assert.equal(isInstance(new TypeError('x'), Error), true)
  assert.equal(isInstance('x', Error), false)
  assert.equal(isInstance(hostile, Error), false)
})
