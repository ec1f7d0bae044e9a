import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { allSteps } from '../../base/steps.ts'
import { hostFault } from '../../config/rules-path.ts'
import { isHost } from '../http1/syntax.ts'
import { hostTableInSteps } from './host-table.ts'
import { type HostPattern, parseHostPattern } from './pattern.ts'

/** Of all kinds: names, wildcards, addresses, ports, Unicode, and what is none of them. */
const PARTS = [
  ['', '*.', '*', '.', 'x.', '-', '%61', 'u@'],
  ['a', 'A_b', 'a-b', 'bücher', '１', '1', '127.0.0.1', '127.1', '0x7f.1', '[::1]', '[::1%lo]', '::1', ''],
  [
    '',
    '.com',
    '.1',
    '.0x',
    '.',
    '..com',
    '.x_y',
    '-',
    '.256',
    `.${'a'.repeat(63)}`,
    `.${'a'.repeat(64)}`,
    '/a',
    '%2ea',
  ],
  ['', ':80', ':', ':0', ':080', ':65536'],
] as const

function* patterns(): Generator<string> {
  const [starts, names, ends, ports] = PARTS
  for (const start of starts) {
    for (const name of names)
      for (const end of ends) for (const port of ports) yield start + name + end + port
  }
  for (const labels of [124, 125, 126, 127]) {
    yield `${'a.'.repeat(labels)}a`
    yield `*.${'a.'.repeat(labels)}a`
  }
}

/** The Host field of a request that the pattern is meant for. */
const hostFor = ({ name, wildcard, port }: HostPattern): string =>
  `${wildcard ? 'x' : ''}${name}${port === '' ? '' : `:${port}`}`

describe('host patterns', () => {
  it('that the config takes can be served: the router takes them, and requests may have such a host', () => {
    let taken = 0
    for (const text of patterns()) {
      if (hostFault(text) !== null) continue
      taken++
      const pattern = parseHostPattern(text)
      const host = hostFor(pattern)
      assert.ok(isHost(host), `${text}: a request cannot have the host "${host}"`)
      assert.deepEqual(allSteps(hostTableInSteps([[pattern, text]])).find(host), [text])
    }
    assert.ok(taken > 50, `${taken} patterns`)
  })
})
