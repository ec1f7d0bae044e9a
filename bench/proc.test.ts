import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  busiestBetween,
  cpuNanosecondsBetween,
  descendants,
  type ProcessUsage,
  parseCoreBusy,
  parseSchedstat,
  parseStat,
  parseStatus,
  readProcess,
  residentBytes,
  type TreeUsage,
} from './proc.ts'

function usage(pid: number, threads: Record<number, number>, ticks = 0, resident = 0): ProcessUsage {
  return {
    pid,
    threads: new Map(Object.entries(threads).map(([tid, nanoseconds]) => [Number(tid), nanoseconds])),
    tickNanoseconds: ticks,
    residentBytes: resident,
    residentPeakBytes: resident,
  }
}

function tree(...usages: ProcessUsage[]): TreeUsage {
  return new Map(usages.map((one) => [one.pid, one]))
}

test('parseCoreBusy() refuses a core that does not exist', () => {
  assert.throws(() => parseCoreBusy('cpu  1 1 1 1\ncpu0 1 1 1 1 1 1 1 1 0 0\n', 1), /no core 1/)
})

test('parseCoreBusy() counts everything but idle and waiting, stolen time too', () => {
  const text = 'cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 1 2 4 1000 2000 8 16 32 64 128\n'
  assert.equal(parseCoreBusy(text, 1), (1 + 2 + 4 + 8 + 16 + 32) * 1e7)
})

test('parseStat() is not misled by a command name with spaces and parentheses', () => {
  const text = '42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 150 25 9 10 20 0 1 0 100 200 300\n'
  assert.deepEqual(parseStat(text), { parent: 7, cpuTicks: 175, endedTicks: 19 })
})

test('parseSchedstat() takes the time on the core', () => {
  assert.equal(parseSchedstat('1621204 61452 1\n'), 1_621_204)
})

test('parseStatus() gives zero for a process that is ending', () => {
  assert.deepEqual(parseStatus('Name:\tnode\nState:\tZ (zombie)\n'), {
    residentBytes: 0,
    residentPeakBytes: 0,
  })
})

test('parseStatus() reads resident memory and its peak', () => {
  const text = 'Name:\tnode\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nRssAnon:\t 1 kB\n'
  assert.deepEqual(parseStatus(text), { residentBytes: 1_048_576, residentPeakBytes: 2_097_152 })
})

test('descendants() finds children of children and nothing else', () => {
  const parents = new Map([
    [5, 4],
    [2, 1],
    [3, 2],
    [4, 2],
    [9, 8],
  ])
  assert.deepEqual(descendants(2, parents).sort(), [2, 3, 4, 5])
})

test('cpuNanosecondsBetween() throws when a process ended', () => {
  assert.throws(() => cpuNanosecondsBetween(tree(usage(1, { 1: 5 })), tree()), /Process 1 .* ended/)
})

test('cpuNanosecondsBetween() falls back to ticks when a thread ended or schedstat is silent', () => {
  const ended = cpuNanosecondsBetween(tree(usage(1, { 1: 5, 2: 90 }, 100)), tree(usage(1, { 1: 25 }, 400)))
  assert.equal(ended, 300)
  const silent = cpuNanosecondsBetween(tree(usage(1, { 1: 0 }, 100)), tree(usage(1, { 1: 0 }, 150)))
  assert.equal(silent, 50)
})

test('cpuNanosecondsBetween() sums all threads of all processes, new ones whole', () => {
  const before = tree(usage(1, { 1: 10, 2: 20 }), usage(7, { 7: 100 }))
  const after = tree(usage(1, { 1: 15, 2: 20, 3: 4 }), usage(7, { 7: 130 }), usage(8, { 8: 1 }))
  assert.equal(cpuNanosecondsBetween(before, after), 5 + 4 + 30 + 1)
})

test('busiestBetween() goes by what was used in between, not before', () => {
  const before = tree(usage(1, { 1: 1_000 }), usage(2, { 2: 10 }))
  const after = tree(usage(1, { 1: 1_001 }), usage(2, { 2: 90 }))
  assert.equal(busiestBetween(before, after).pid, 2)
})

test('residentBytes() adds up the processes', () => {
  assert.equal(residentBytes(tree(usage(1, {}, 0, 3), usage(2, {}, 0, 4))), 7)
})

test('readProcess() gives null for a process that is not there', {
  skip: process.platform !== 'linux',
}, async () => {
  // Above the largest process id that Linux can be told to use.
  assert.equal(await readProcess(2 ** 22 + 1), null)
})

test('readProcess() reads the running process', { skip: process.platform !== 'linux' }, async () => {
  const own = await readProcess(process.pid)
  assert.ok(own !== null && own.residentBytes > 1e6 && own.threads.has(process.pid))
})
