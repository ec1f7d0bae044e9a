import assert from 'node:assert/strict'
import { it } from 'node:test'
import { allSteps } from '../../base/steps.ts'
import { hostTableInSteps } from './host-table.ts'
import { parseHostPattern } from './pattern.ts'

it('hostTableInSteps() does no more than one host in a step', () => {
  const names = Array.from({ length: 1_000 }, (_, index) => `a${index}.example.com`)
  const texts = [...names, '*.example.com', '*', 'a1.example.com:8443']
  const entries = texts.map((text) => [parseHostPattern(text), text] as const)
  let steps = 0
  const table = hostTableInSteps(entries)
  while (table.next().done !== true) steps++
  // Taken once, put with their like once, and bound once; the same for the one port.
  assert.ok(steps >= 5 * names.length, `${steps} steps`)
  const found = allSteps(hostTableInSteps(entries))
  assert.deepEqual(found.find('a1.example.com:8443'), [
    'a1.example.com:8443',
    'a1.example.com',
    '*.example.com',
    '*',
  ])
  assert.deepEqual(found.find('b.example.com'), ['*.example.com', '*'])
  assert.deepEqual(found.find('other.com:8443'), ['*'])
})
