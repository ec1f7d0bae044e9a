import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderProblems, wantsColor } from './render-problems.ts'
import type { ConfigProblem } from './types.ts'

const problem: ConfigProblem = {
  code: 'CONFIG_INVALID',
  file: '/srv/cardea.yaml',
  line: 2,
  column: 4,
  key: 'listen[0].prt',
  given: '80',
  expected: 'one of host, port',
  nearest: 'port',
  message: '"listen[0].prt" is not a known key.',
}

test('renderProblems() keeps control characters of the file from the terminal', () => {
  const evil = '\u001b]0;owned\u0007'
  const text = renderProblems([{ ...problem, given: evil, message: evil }], {
    textOf: () => `a\n\t  ${evil}x`,
  })
  assert.ok(!/[\u0007\u001b]/.test(text))
})

test('renderProblems() lets no text be read in another order or on another line than it stands', () => {
  const evil = '\u202ex\u2066y\u2028z'
  const text = renderProblems([{ ...problem, given: evil, message: evil }], { textOf: () => `a\n${evil}` })
  assert.ok(!/[\u202e\u2066\u2028]/.test(text))
})

test('renderProblems() puts the caret under the offender behind what a terminal shows wide', () => {
  const line = '- { body: "你好，😀", statu: 5 }'
  const text = renderProblems([{ ...problem, column: line.indexOf('statu') + 1 }], {
    textOf: () => `\n${line}`,
  })
  assert.equal(text.split('\n')[2]?.indexOf('^'), '  2 | - { body: "______xx", '.length)
})

test('renderProblems() leaves out the excerpt when there is no text or no such line', () => {
  assert.ok(!renderProblems([problem]).includes('^'))
  assert.ok(!renderProblems([problem], { textOf: () => 'one line' }).includes('^'))
  assert.ok(!renderProblems([problem], { textOf: () => null }).includes('^'))
})

test('renderProblems() shows the line with a caret under the offender', () => {
  assert.equal(
    renderProblems([problem], { textOf: () => 'listen:\n\t- prt: 80\n', directory: '/srv' }),
    [
      'cardea.yaml:2:4 CONFIG_INVALID "listen[0].prt" is not a known key.',
      '  2 | \t- prt: 80',
      '    | \t  ^',
      '  key:      listen[0].prt',
      '  given:    80',
      '  expected: one of host, port',
      '  nearest:  port',
      '',
    ].join('\n'),
  )
})

test('renderProblems() shows a long line around the caret', () => {
  const line = `${'a'.repeat(300)}X${'b'.repeat(300)}`
  const text = renderProblems([{ ...problem, column: 301 }], { textOf: () => `\n${line}` })
  const [, excerpt = '', caret = ''] = text.split('\n')
  assert.ok(excerpt.length < 140)
  assert.equal(excerpt[caret.indexOf('^')], 'X')
})

test('renderProblems() separates problems by an empty line, and shows paths elsewhere in full', () => {
  const text = renderProblems([problem, problem], { directory: '/home' })
  assert.equal(text.split('\n\n').length, 2)
  assert.ok(text.startsWith('/srv/cardea.yaml:2:4 '))
  assert.equal(renderProblems([]), '')
})

test('renderProblems() colours only when told to', () => {
  assert.ok(renderProblems([problem], { color: true }).includes('\u001b[31m'))
  assert.ok(!renderProblems([problem]).includes('\u001b'))
})

test('wantsColor() wants a terminal, and heeds NO_COLOR and a dumb one', () => {
  assert.equal(wantsColor({ isTTY: true }, {}), true)
  assert.equal(wantsColor({ isTTY: true }, { NO_COLOR: '' }), true)
  assert.equal(wantsColor({}, {}), false)
  assert.equal(wantsColor({ isTTY: true }, { NO_COLOR: '1' }), false)
  assert.equal(wantsColor({ isTTY: true }, { TERM: 'dumb' }), false)
})

test('renderProblems() marks the end of the last lines of code when the place is on an empty line behind them', () => {
  const lines = [
    'export function PluginMain() {',
    '\treturn {',
    '    handle: () => true,  ',
    '  }',
    '',
    '',
    '',
  ]
  const at = { code: 'PLUGIN_BUILD_FAILED', line: 6, column: 1 } as const
  const text = renderProblems([{ ...problem, ...at }], { textOf: () => lines.join('\r\n') })
  assert.deepEqual(text.split('\n').slice(1, 5), [
    '  2 | \treturn {',
    '  3 |     handle: () => true,',
    '  4 |   }',
    '    |    ^',
  ])
})

test('renderProblems() lines up the numbers of several lines, and shows no more of a config than one', () => {
  const text = `${'x\n'.repeat(8)}- a\n- [b\n\n`
  const at = { line: 12, column: 1 }
  const code = renderProblems([{ ...problem, ...at, code: 'PLUGIN_BUILD_FAILED' }], { textOf: () => text })
  assert.ok(code.includes('\n   8 | x\n   9 | - a\n  10 | - [b\n     |     ^\n'), code)
  const config = renderProblems([{ ...problem, ...at, code: 'CONFIG_SYNTAX' }], { textOf: () => text })
  assert.ok(config.includes('\n  10 | - [b\n     |     ^\n') && !config.includes('- a'), config)
})

test('renderProblems() shows no lines before an empty one where a secret is near, or there are none', () => {
  const textOf = () => 'password: x\n\n'
  for (const near of [{ hidden: true }, { secretColumn: 1 }]) {
    assert.ok(!renderProblems([{ ...problem, column: 1, ...near }], { textOf }).includes('^'))
  }
  assert.ok(!renderProblems([problem], { textOf: () => '\n \n' }).includes('^'))
})
