import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitCodeOf, judgeComparison, showVerdicts } from './bars.ts'
import { ratioTable, report, table } from './report.ts'
import { chart } from './svg.ts'
import { resultsOf, rowOf, sampleOf } from './test-rows.ts'

test('judgeComparison() does not count an invalid row as met', () => {
  const samples = [sampleOf({ faults: ['1 read errors'], cpuMicrosecondsPerRequest: 1 })]
  const verdicts = judgeComparison([rowOf('cardea', [], { samples }), rowOf('haproxy', [20])])
  assert.deepEqual([...new Set(verdicts.map(({ outcome }) => outcome))], ['not measured'])
})

test('judgeComparison() misses a bar by the smallest excess and meets it exactly', () => {
  const outcome = (cardea: number) =>
    judgeComparison([rowOf('cardea', [cardea]), rowOf('haproxy', [10])]).find(({ says }) =>
      says.endsWith('HAProxy'),
    )
  assert.equal(outcome(14.01)?.outcome, 'missed')
  assert.equal(outcome(14)?.outcome, 'met')
})

test('judgeComparison() holds five plugins against the empty chain of the same scenario', () => {
  const plugins = (cpu: number) => [
    rowOf('cardea', [5]),
    rowOf('cardea', [20], { scenario: 'plugins' }),
    rowOf('cardea', [cpu], { scenario: 'plugins', variant: 'plugins' }),
  ]
  const outcomeOf = (cpu: number) =>
    judgeComparison(plugins(cpu)).find(({ says }) => says.startsWith('five plugins'))?.outcome
  assert.equal(outcomeOf(22.5), 'missed')
  assert.equal(outcomeOf(21), 'met')
})

test('judgeComparison() takes what a built-in plugin adds from the rounds that it shares with the empty chain', () => {
  const rows = (cpu: readonly number[]) => [
    rowOf('cardea', [20, 200, 21], { scenario: 'cors' }),
    rowOf('cardea', cpu, { scenario: 'cors', variant: 'built-in' }),
  ]
  const of = (cpu: readonly number[]) =>
    judgeComparison(rows(cpu)).find(({ says }) => says === 'cors, end to end')
  assert.deepEqual(of([21, 200.5, 22]), {
    says: 'cors, end to end',
    bar: '≤ 1 µs',
    found: '1.00 µs',
    outcome: 'met',
  })
  assert.equal(of([21.1, 201.5, 21.5])?.outcome, 'missed')
  assert.equal(of([])?.outcome, 'not measured')
  assert.match(
    report(resultsOf(rows([21, 201, 22]))),
    /that a built-in plugin adds\n\n.*\n.*\n\| cors +\| +1\.00 /,
  )
})

test('exitCodeOf() fails on a missed bar, and on an unmeasured one unless only a part was asked for', () => {
  const verdict = (outcome: 'met' | 'missed' | 'not measured') => ({ says: '', bar: '', found: '', outcome })
  assert.equal(exitCodeOf([verdict('met'), verdict('missed')], true), 1)
  assert.equal(exitCodeOf([verdict('met'), verdict('not measured')], false), 1)
  assert.equal(exitCodeOf([verdict('met'), verdict('not measured')], true), 0)
  assert.equal(exitCodeOf([verdict('met')], false), 0)
})

test('showVerdicts() gives one line per bar with figure and bar', () => {
  const lines = showVerdicts(judgeComparison([rowOf('cardea', [13]), rowOf('haproxy', [10])])).split('\n')
  assert.match(lines[0] ?? '', /^met .*HAProxy .* 1\.30 \(bar ≤ 1\.4\)$/)
})

test('ratioTable() has a row per peer, a column per scenario, and a dash where nothing is comparable', () => {
  const rows = [
    rowOf('cardea', [30]),
    rowOf('nginx', [20]),
    rowOf('cardea', [90], { scenario: '64k', problem: 'It ended.' }),
    rowOf('nginx', [60], { scenario: '64k' }),
  ]
  const lines = ratioTable(rows).map((line) => line.replaceAll(/ +/g, ' '))
  assert.deepEqual(lines.slice(0, 1), ['| | small | 64k |'])
  assert.deepEqual(lines.slice(2), ['| nginx | 1.50 (1.50–1.50) | – |'])
})

test('report() marks invalid rows and says which peers are missing', () => {
  const samples = [sampleOf({ faults: ['3 read errors'] })]
  const text = report(resultsOf([rowOf('cardea', [30]), rowOf('nginx', [], { samples })]))
  assert.match(text, /nginx .*\*\*invalid\*\*: 3 read errors/)
  assert.match(text, /Caddy is not installed/)
})

test('report() says when upstream connections were not reused or the core was shared', () => {
  const samples = [sampleOf({ upstreamConnectionsPerRequest: 1, othersShare: 0.25 })]
  const text = report(resultsOf([rowOf('http-proxy', [], { samples })]))
  assert.match(text, /1\.00 upstream connections per request; other programs took 25 % of the core/)
})

test('table() pads every column to its widest cell', () => {
  const lines = table(
    ['', 'n'],
    [
      ['long name', '1'],
      ['x', '1000'],
    ],
  )
  assert.deepEqual([...new Set(lines.map((line) => line.length))].length, 1)
})

test('chart() leaves out what is invalid, sorts by cost and escapes text', () => {
  const samples = [sampleOf({ faults: ['3 read errors'] })]
  const rows = [rowOf('nginx', [40]), rowOf('cardea', [30, 32]), rowOf('caddy', [], { samples })]
  const svg = chart(resultsOf(rows))
  assert.ok(!svg.includes('caddy'))
  assert.ok(svg.indexOf('>cardea<') < svg.indexOf('>nginx<'))
  assert.ok(svg.includes('A &lt;fast&gt; CPU'))
  assert.equal(svg.match(/<rect class="(own|peer)"/g)?.length, 2)
})

test('chart() of nothing is still a document', () => {
  assert.match(chart(resultsOf([])), /^<svg .*<\/svg>\n$/s)
})
