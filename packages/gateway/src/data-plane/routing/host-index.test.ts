import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HostIndex } from './host-index.ts'
import { parseHostPattern } from './pattern.ts'

test('HostIndex.covering() finds what a look at each pattern finds, in their order', () => {
  const labels = fc.array(fc.constantFrom('a', 'b', 'com'), { minLength: 1, maxLength: 4 })
  const names = labels.map((parts) => parts.join('.'))
  const texts = fc.oneof(
    names,
    names.map((name) => `*.${name}`),
    fc.constant('*'),
    names.map((name) => `${name}:8080`),
  )
  fc.assert(
    fc.property(fc.array(texts, { maxLength: 20 }), names, (patterns, name) => {
      const parsed = patterns.map(parseHostPattern)
      const expected = parsed.flatMap((pattern, position) => {
        if (pattern.name === '') return position
        const isBelow = name.length > pattern.name.length && name.endsWith(pattern.name)
        return (pattern.wildcard ? isBelow : name === pattern.name) ? position : []
      })
      assert.deepEqual(new HostIndex(parsed).covering(name), expected)
    }),
  )
})
