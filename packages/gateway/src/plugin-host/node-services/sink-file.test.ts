import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { machineClock } from '../../base/node-clock.ts'
import { SINK_LIMITS } from '../../config/limits.ts'
import { recordingLog } from '../test-support.ts'
import { type LineFile, STDOUT } from './line-file.ts'
import { SinkFile } from './sink-file.ts'

/** A file whose writes take as many bytes as `take` says; the bytes are looked at when the write ends, as a disk may. */
class SlowFile {
  readonly writes: number[] = []
  opened = 0
  failure: Error | null = null
  /** Resolves once somebody has heard of the failure. */
  readonly failed: Promise<void>
  readonly #noteFailed: () => void
  #text: Buffer[] = []
  take: (bytes: number) => number

  constructor(take: (bytes: number) => number = (bytes) => bytes) {
    this.take = take
    const { promise, resolve } = Promise.withResolvers<void>()
    this.failed = promise
    this.#noteFailed = () => setImmediate(resolve)
  }

  get text(): string {
    return Buffer.concat(this.#text).toString()
  }

  openSync(): LineFile {
    this.opened++
    return {
      append: async (bytes) => {
        await new Promise<void>((resolve) => setImmediate(resolve))
        return this.#append(bytes)
      },
      appendSync: (bytes) => this.#append(bytes),
      close: async () => {},
    }
  }

  #append(bytes: Uint8Array): number {
    if (this.failure !== null) {
      this.#noteFailed()
      throw this.failure
    }
    const taken = Math.max(1, Math.min(bytes.length, this.take(bytes.length)))
    this.writes.push(bytes.length)
    this.#text.push(Buffer.from(bytes.subarray(0, taken)))
    return taken
  }
}

function sinkOn(file: SlowFile, name = 'a.log') {
  const { log } = recordingLog()
  const files = { open: async () => file.openSync(), openSync: () => file.openSync() }
  return new SinkFile({ name, files, clock: machineClock, log })
}

const line = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '',
    'a\nb\r',
    '\ud800',
    'é'.repeat(2_000),
    'x'.repeat(4_095),
    'x'.repeat(4_096),
    'x'.repeat(70_000),
  ),
)

/** What a reader of the file finds: UTF-8 has no half of a pair. */
const asWritten = (text: string): string =>
  text.replaceAll('\n', '\\n').replaceAll('\r', '\\r').toWellFormed()

test('SinkFile writes all lines in order and whole, however little the disk takes at a time', async () => {
  const lines = fc.array(line, { maxLength: 40 })
  const batches = fc.array(lines, { maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('a.log', STDOUT),
      batches,
      fc.integer({ min: 1, max: 100_000 }),
      async (name, all, most) => {
        const file = new SlowFile((bytes) => Math.min(bytes, most))
        const sink = sinkOn(file, name)
        for (const batch of all) {
          for (const text of batch) assert.equal(sink.write(text), true)
          // Some of it is on its way when the next ones come.
          void sink.flush()
        }
        await sink.close()
        assert.equal(
          file.text,
          all
            .flat()
            .map((text) => `${asWritten(text)}\n`)
            .join(''),
        )
        assert.equal(sink.dropped, 0)
      },
    ),
    { numRuns: 60 },
  )
})

test('SinkFile keeps writes to a pipe within the size that stays whole', async () => {
  const file = new SlowFile()
  const sink = sinkOn(file, STDOUT)
  for (let number = 0; number < 500; number++) sink.write(`${number} ${'é'.repeat(number % 300)}`)
  await sink.flush()
  assert.ok(file.writes.length > 1)
  assert.ok(Math.max(...file.writes) <= 4_096, String(Math.max(...file.writes)))
  await sink.close()
})

test('SinkFile drops what a disk that stands still has no room for, counts it, and writes all else', async () => {
  const file = new SlowFile()
  const sink = sinkOn(file)
  const text = 'x'.repeat(1_000)
  const most = Math.ceil(SINK_LIMITS.pendingBytesMax / text.length)
  const written = Array.from({ length: 2 * most }, () => sink.write(text)).filter(Boolean).length
  assert.ok(written <= most && written > most - 100, `${written} of ${most}`)
  assert.equal(sink.dropped, 2 * most - written)
  await sink.flush()
  assert.equal(file.text.length, written * (text.length + 1))
  assert.equal(sink.write('after'), true)
  await sink.close()
  assert.ok(file.text.endsWith('\nafter\n'))
})

test('SinkFile counts the lines of a write that fails, and opens the file anew for the next', async () => {
  const file = new SlowFile()
  const sink = sinkOn(file)
  file.failure = new Error('no space')
  for (let number = 0; number < 3; number++) sink.write('lost')
  await sink.flush()
  assert.deepEqual([sink.dropped, file.opened], [3, 1])
  file.failure = null
  sink.write('kept')
  await sink.close()
  assert.deepEqual([file.text, file.opened], ['kept\n', 2])
})

test('SinkFile glues no line to one that a full disk broke off, and counts those that were lost', async () => {
  for (const isSync of [false, true]) {
    const file = new SlowFile(() => {
      // The first nine bytes are taken: one line and a half.
      file.failure = new Error('no space')
      return 9
    })
    const sink = sinkOn(file)
    for (const text of ['whole', 'broken', 'lost']) sink.write(text)
    await sink.flush()
    assert.deepEqual([file.text, sink.dropped], ['whole\nbro', 2])
    file.failure = null
    sink.write('kept')
    file.take = (bytes) => bytes
    if (isSync) sink.flushSync()
    await sink.close()
    assert.equal(file.text, 'whole\nbro\nkept\n')
  }
})

test('SinkFile writes at once what no write has begun with when the process ends', () => {
  const file = new SlowFile((bytes) => Math.ceil(bytes / 2))
  const sink = sinkOn(file)
  const lines = Array.from({ length: 200 }, (_, number) => `${number} ${'x'.repeat(250)}`)
  for (const text of lines) sink.write(text)
  sink.flushSync()
  assert.equal(file.text, lines.map((text) => `${text}\n`).join(''))
})

test('SinkFile gives up what does not get written in time, counts it and says so, and tells of a call that hangs', async () => {
  const { log, lines } = recordingLog()
  const { promise: never } = Promise.withResolvers<number>()
  const hanging = { append: () => never, appendSync: () => assert.fail(), close: async () => {} }
  const files = { open: async () => hanging, openSync: () => hanging }
  const time = { nowMs: 0 }
  const clock = { ...machineClock, nowMs: () => time.nowMs }
  const sink = new SinkFile({ name: 'a.log', files, clock, log })
  sink.write('on its way')
  void sink.flush()
  await new Promise<void>((resolve) => setImmediate(resolve))
  sink.write('waiting')
  assert.equal(sink.isStuck, false)
  // A thread that does not come back is not followed.
  time.nowMs += SINK_LIMITS.endFlushMs + 1
  sink.flushSync()
  assert.deepEqual([sink.isStuck, sink.dropped], [true, 2])
  assert.deepEqual(
    lines.map(({ message, fields }) => [message, fields.lines]),
    [['The last lines for "a.log" are dropped: writing them takes too long', 2]],
  )
})

test('SinkFile waits for the reader of a pipe, says why it drops lines meanwhile, and gives up when it is told to', async () => {
  const { log, lines } = recordingLog()
  const file = new SlowFile()
  file.failure = Object.assign(new Error('full'), { code: 'EAGAIN' })
  const files = { open: async () => file.openSync(), openSync: () => file.openSync() }
  const sink = new SinkFile({ name: 'a.log', files, clock: machineClock, log })
  sink.write('first')
  const flushed = sink.flush()
  await file.failed
  const long = 'x'.repeat(SINK_LIMITS.pendingBytesMax)
  assert.equal(sink.write(long), false)
  assert.match(String(lines[0]?.message), /dropped: nobody reads it \(EAGAIN\)/)
  sink.giveUp()
  await flushed
  assert.deepEqual([sink.isStuck, sink.dropped, file.text], [false, 2, ''])
})
