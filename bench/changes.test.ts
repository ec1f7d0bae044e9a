import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LoadTurn } from './changes/under-load.ts'
import { type ChangesResult, judgeChanges, reportChanges } from './changes.ts'

function turn(quietMicroseconds: number, changingMicroseconds: number): LoadTurn {
  const errors = { connect: 0, read: 0, write: 0, timeout: 0, status: 0 }
  const half = (p99Microseconds: number): LoadTurn['quiet'] => {
    return {
      requests: 3_000,
      bytes: 1,
      durationMicroseconds: 1e6,
      p50Microseconds: 900,
      p99Microseconds,
      errors,
    }
  }
  return { quiet: half(quietMicroseconds), changing: half(changingMicroseconds), changes: 30 }
}

function resultOf(loadTurns: readonly LoadTurn[]): ChangesResult {
  return {
    toFirstAnswer: [40, 50, 60],
    toFirstAnswerLoaded: [80, 90, 100],
    skew: [1, 2],
    stages: new Map([['prepare', [8, 9]]]),
    loneQuiet: [0.1, 0.3],
    loneChanging: [0.2, 1.2],
    loadTurns,
    cpuPerChangeMs: 28,
  }
}

const requestVerdict = (turns: readonly LoadTurn[]) =>
  judgeChanges(resultOf(turns)).find(({ says }) => says.startsWith('request p99 under load'))

test('judgeChanges() takes the median of what turns under load differ by, so that no single turn decides', () => {
  const turns = [turn(5_000, 6_000), turn(4_000, 20_000), turn(8_000, 8_000)]
  assert.deepEqual(requestVerdict(turns), {
    says: 'request p99 under load, changing / quiet',
    bar: '≤ 2',
    found: '1.20',
    outcome: 'met',
  })
})

test('judgeChanges() compares the halves of one turn, and not those of different ones', () => {
  const turns = [turn(1_000, 2_100), turn(10_000, 21_000), turn(100_000, 210_000)]
  assert.equal(requestVerdict(turns)?.outcome, 'missed')
  assert.equal(requestVerdict(turns)?.found, '2.10')
})

test('judgeChanges() judges what a lone client feels as well', () => {
  const verdict = judgeChanges(resultOf([turn(1_000, 1_000)])).at(-1)
  assert.deepEqual(verdict, {
    says: 'request p99 of a lone client, changing / quiet',
    bar: '≤ 2',
    found: '4.00',
    outcome: 'missed',
  })
})

test('reportChanges() shows the requests of a lone client and those under load apart', () => {
  const text = reportChanges(resultOf([turn(5_000, 6_000), turn(4_000, 6_000)]))
  assert.match(text, /^\| a lone request, changes all the time\s+\|\s+0\.20 \|/m)
  assert.match(text, /^\| save to first answer under load\s+\|\s+90 \|/m)
  assert.match(text, /^\| no changes\s+\|.*\|\s+4\.50 \(4\.00–5\.00\) \|\s+3000 \(3000–3000\) \|$/m)
  assert.match(text, /^p99, changing \/ quiet: 1\.35 \(1\.20–1\.50\) in 2 turns, 60 changes$/m)
})
