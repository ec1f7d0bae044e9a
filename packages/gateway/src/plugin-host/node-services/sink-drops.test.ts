import assert from 'node:assert/strict'
import { test } from 'node:test'
import { machineClock, type NodeClock } from '../../base/node-clock.ts'
import { recordingLog } from '../test-support.ts'
import type { LineFile } from './line-file.ts'
import { SinkFile } from './sink-file.ts'

/** Time that goes on when it is told to; what flushes of themselves is left out, tests flush. */
function stoppedClock() {
  const waiting = new Set<() => void>()
  const clock: NodeClock = {
    ...machineClock,
    after(_delayMs, callback) {
      waiting.add(callback)
      return () => waiting.delete(callback)
    },
  }
  const goOn = (): void => {
    const due = [...waiting]
    waiting.clear()
    for (const callback of due) callback()
  }
  return { clock, waiting, goOn }
}

/** A sink on a disk that is full. */
function sinkOnFullDisk() {
  const { log, lines } = recordingLog()
  const time = stoppedClock()
  const take = (): number => {
    throw new Error('no space')
  }
  const file: LineFile = { append: async () => take(), appendSync: take, close: async () => {} }
  const files = { open: async () => file, openSync: () => file }
  const sink = new SinkFile({ name: 'a.log', files, clock: time.clock, log })
  const lose = async (): Promise<void> => {
    sink.write('lost')
    await sink.flush()
  }
  const told = (): unknown[] => lines.map(({ fields }) => fields.dropped)
  return { sink, lose, told, lines, ...time }
}

test('SinkFile tells in the end how many lines it dropped, though it tells the first at once and the others rarely', async () => {
  const { lose, told, goOn, waiting, lines } = sinkOnFullDisk()
  for (let number = 0; number < 3; number++) await lose()
  assert.deepEqual(told(), [1])
  goOn()
  assert.deepEqual(told(), [1, 3])
  assert.equal(lines[1]?.message, 'Lines for "a.log" are dropped: no space')
  // Nothing came meanwhile: there is nothing to tell, and what comes next is told at once.
  goOn()
  assert.deepEqual([told(), waiting.size], [[1, 3], 0])
  await lose()
  assert.deepEqual(told(), [1, 3, 4])
})

test('SinkFile tells what it dropped before it ends, and leaves no timer behind', async () => {
  const ends = {
    close: (sink: SinkFile) => sink.close(),
    giveUp: async (sink: SinkFile) => sink.giveUp(),
    flushSync: async (sink: SinkFile) => sink.flushSync(),
  }
  for (const [name, end] of Object.entries(ends)) {
    const { sink, lose, told, waiting } = sinkOnFullDisk()
    for (let number = 0; number < 3; number++) await lose()
    await end(sink)
    assert.deepEqual([told(), waiting.size], [[1, 3], 0], name)
  }
})
