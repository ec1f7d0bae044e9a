import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyState } from './copy-state.ts'

const KIB = 1024

class Bucket {
  #tokens = 1
  take(): number {
    return this.#tokens--
  }
}

test('copyState() leaves out what a clone would not be the same as', () => {
  const cases: [string, unknown][] = [
    ['a function', () => {}],
    ['a symbol', Symbol('x')],
    ['an instance of a class', new Bucket()],
    ['one inside of a map', new Map([['a', [new Bucket()]]])],
    ['a function as a key', new Map([[() => {}, 1]])],
    ['one in a set', new Set([new Bucket()])],
    ['a method', { count: 1, next() {} }],
    ['a subclass of Map', new (class Own extends Map {})()],
    ['a Buffer', Buffer.from('x')],
    ['a promise', Promise.resolve()],
    ['a weak map', new WeakMap()],
    ['an error', new Error('x')],
    [
      'an accessor that throws',
      {
        get x() {
          throw new Error('no')
        },
      },
    ],
  ]
  for (const [what, value] of cases) assert.equal(copyState(value, KIB), null, what)
})

test('copyState() leaves out what is too large, and looks at no more of it than that', () => {
  const cases: [string, unknown][] = [
    ['text', 'x'.repeat(KIB + 1)],
    ['bytes', new Uint8Array(KIB + 1)],
    ['many small things', Array.from({ length: KIB / 8 }, (_, i) => i)],
    ['an array that only says to be long', new Array(2 ** 32 - 1)],
    ['a long key', { ['k'.repeat(KIB + 1)]: 1 }],
    ['many keys', Object.fromEntries(Array.from({ length: KIB }, (_, i) => [i, 0]))],
    ['depth', Array.from({ length: KIB }).reduce<unknown>((inner) => [inner], 0)],
  ]
  for (const [what, value] of cases) assert.equal(copyState(value, KIB), null, what)
  let looked = 0
  const long = Array.from({ length: 10 * KIB }, () => ({
    get x() {
      return looked++
    },
  }))
  assert.equal(copyState(long, KIB), null)
  assert.equal(looked, 0)
})

test('copyState() copies plain data, cycles and shared parts included', () => {
  const shared = { bytes: new Uint8Array([1, 2]) }
  const value: Record<string, unknown> = {
    map: new Map([['a', new Set([1n])]]),
    date: new Date(5),
    none: null,
    bare: Object.assign(Object.create(null), { x: 1 }),
    one: shared,
    two: shared,
  }
  value.self = value
  const copy = copyState(value, KIB)?.value as typeof value
  assert.notEqual(copy, value)
  assert.deepEqual(copy.map, value.map)
  assert.deepEqual(copy.bare, { x: 1 })
  assert.equal(copy.self, copy)
  assert.equal(copy.one, copy.two)
  assert.notEqual(copy.one, shared)
  assert.equal(copyState(undefined, KIB)?.value, undefined)
})
