import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { bytesOf, readSlowly } from './memory/pace.ts'
import { judgeMemory, type MemoryRow, reportMemory } from './memory.ts'

const ROW: MemoryRow = {
  peer: 'cardea',
  title: 'Cardea',
  underLoad: 110e6,
  perIdleConnection: 8_001,
  slowDownload: null,
  slowUpload: 90e6,
}

test('judgeMemory() finds nothing measured without a row', () => {
  assert.deepEqual([...new Set(judgeMemory(undefined).map(({ outcome }) => outcome))], ['not measured'])
})

test('judgeMemory() misses a bar by one byte, and meets it exactly', () => {
  const outcomes = judgeMemory(ROW).map(({ outcome }) => outcome)
  assert.deepEqual(outcomes, ['met', 'missed', 'not measured', 'met'])
})

test('reportMemory() gives a row per peer with units, and a dash where nothing was measured', () => {
  const [, , row] = reportMemory([ROW]).split('\n')
  assert.equal(row?.replaceAll(/ +/g, ' '), '| Cardea | 110 MB | 8.0 KB | – | 90 MB |')
})

test('readSlowly() rejects a body that breaks off', async () => {
  const body = Readable.from([Buffer.alloc(10)], { objectMode: false })
  const read = readSlowly(body)
  body.destroy()
  await assert.rejects(read, /ended early/)
})

test('readSlowly() counts what it reads', async () => {
  assert.equal(await readSlowly(Readable.from(bytesOf(100_000))), 100_000)
})

test('bytesOf() yields exactly the bytes asked for, also when they do not fill the last chunk', () => {
  const lengths = [...bytesOf(150_000)].map((chunk) => chunk.length)
  assert.deepEqual(lengths, [65_536, 65_536, 18_928])
})
