import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { packageFolder } from '../base/own-folders.ts'
import { someOf } from '../base/some-of.ts'
import { agoText, bytesText, callsOf, millisecondsText, plural, table } from './text.ts'

test('table() makes columns as wide as their widest cell, and cells harmless', () => {
  assert.equal(
    table(
      ['name', 'state'],
      [
        ['a\u001bb', 'x'],
        ['longer', ''],
      ],
    ),
    '  name    state\n  a\ufffdb     x\n  longer\n',
  )
})

test('millisecondsText() has a decimal where it tells something', () => {
  assert.deepEqual([0, 0.04, 0.06, 9.94, 9.95, 41.6, 1_204.4].map(millisecondsText), [
    '0.0 ms',
    '0.0 ms',
    '0.1 ms',
    '9.9 ms',
    '10 ms',
    '42 ms',
    '1,204 ms',
  ])
})

test('agoText() takes the largest unit that fits, and clocks that were set back', () => {
  const now = 1_000_000_000
  const ago = (ms: number): string => agoText(now - ms, now)
  assert.deepEqual([-5_000, 0, 999].map(ago), ['just now', 'just now', 'just now'])
  assert.deepEqual([1_000, 59_999, 60_000].map(ago), ['1 s ago', '59 s ago', '1 min ago'])
  assert.deepEqual([3_599_999, 3_600_000, 86_400_000 * 3].map(ago), ['59 min ago', '1 h ago', '3 d ago'])
})

test('plural(), someOf() and bytesText() count for people', () => {
  assert.deepEqual([plural(1, 'route'), plural(1_200, 'route')], ['1 route', '1,200 routes'])
  assert.deepEqual(
    [someOf([], 2), someOf(['a', 'b'], 2), someOf(['a', 'b', 'c'], 2)],
    ['', 'a, b', 'a, b and 1 more'],
  )
  assert.equal(bytesText(82.4 * 1024 * 1024), '82 MB')
})

test('callsOf() leaves out what is the gateway’s own, unless there is nothing else', () => {
  const own = `    at Exchange.begin (file://${join(packageFolder, 'src/data-plane/exchange.ts')}:96:14)`
  const node = '    at node:internal/main/run_main_module:36:49'
  const plugin = '    at handle (/srv/plugins/a/plugin.ts:3:9)'
  assert.deepEqual(callsOf(['Error: at last', plugin, own, node, plugin].join('\n'), 5), [
    plugin.trim(),
    plugin.trim(),
  ])
  assert.deepEqual(callsOf(['Error', own, node].join('\n'), 1), [own.trim()])
  assert.deepEqual(callsOf('Error: no stack', 5), [])
})
