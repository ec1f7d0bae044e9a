import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { describe, test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { LOG_LIMITS } from '../config/limits.ts'
import { LineWriter } from './line-writer.ts'

/** What a descriptor takes: so many bytes at a time, or an error. */
function writerOn(steps: (number | string)[]) {
  const written: Buffer[] = []
  const opened = new LineWriter(() => (bytes) => {
    const step = steps.shift() ?? bytes.length
    if (typeof step === 'string') throw Object.assign(new Error(step), { code: step })
    written.push(Buffer.from(bytes.subarray(0, step)))
    return Math.min(step, bytes.length)
  })
  return {
    lines: opened,
    write: (line: string) => opened.write(line),
    text: () => Buffer.concat(written).toString(),
  }
}

test('LineWriter loses what cannot be written, and goes on when it can', () => {
  const { write, text } = writerOn(['ENOSPC', 'EIO'])
  write('one\n')
  write('two\n')
  write('three\n')
  assert.equal(text(), 'three\n')
})

test('LineWriter begins the line after one that was cut on a line of its own', () => {
  const { write, text } = writerOn([5, 'ENOSPC', 'ENOSPC'])
  write('{"lost":1}\n')
  write('{"lost":2}\n')
  write('{"here":3}\n')
  write('{"here":4}\n')
  assert.equal(text(), '{"los\n{"here":3}\n{"here":4}\n')
})

test('LineWriter waits for a reader that is slow, in the middle of a character too', () => {
  const { lines, write, text } = writerOn(['EAGAIN', 1, 'EAGAIN', 1, 'EAGAIN'])
  write('é – ü\n')
  lines.end()
  assert.equal(text(), 'é – ü\n')
})

/** What nobody reads, until somebody does. */
function unread(code = 'EAGAIN') {
  const written: Buffer[] = []
  const told: [number, number][] = []
  const reader = { isThere: false, calls: 0 }
  const lines = new LineWriter(() => (bytes) => {
    reader.calls++
    if (!reader.isThere) throw Object.assign(new Error(code), { code })
    written.push(Buffer.from(bytes))
    return bytes.length
  })
  lines.onLost = (...counts) => {
    told.push(counts)
    lines.write(`${counts[0]} lost\n`)
  }
  return { lines, reader, told, text: () => Buffer.concat(written).toString() }
}

const LINE = `${'x'.repeat(1023)}\n`
const FIT = LOG_LIMITS.pendingBytesMax / LINE.length

describe('LineWriter on a pipe that nobody reads', () => {
  for (const code of ['EAGAIN', 'EPIPE', 'ENXIO']) {
    test(`keeps what came first (${code}), and tells in its place what did not fit`, () => {
      const { lines, reader, told, text } = unread(code)
      for (let i = 0; i < FIT + 30; i++) lines.write(LINE)
      reader.isThere = true
      lines.end()
      lines.write('next\n')
      assert.deepEqual(told, [[30, 30]])
      assert.equal(text(), `${LINE.repeat(FIT)}30 lost\nnext\n`)
    })
  }

  test('does not call the system for each line', () => {
    const { lines, reader } = unread()
    for (let i = 0; i < 100_000; i++) lines.write(LINE)
    assert.ok(reader.calls < 1_000, `${reader.calls} calls`)
  })

  test('goes on by itself once somebody reads', async () => {
    const { lines, reader, told, text } = unread()
    for (let i = 0; i < FIT + 1; i++) lines.write(LINE)
    reader.isThere = true
    const keepAlive = setInterval(() => {}, 1_000)
    while (told.length === 0) await new Promise((resolve) => setImmediate(resolve))
    clearInterval(keepAlive)
    assert.equal(text(), `${LINE.repeat(FIT)}1 lost\n`)
  })

  test('waits once where its reader goes when it has told what was lost', (t) => {
    const { lines, reader } = unread('EPIPE')
    for (let i = 0; i < FIT + 30; i++) lines.write(LINE)
    const { onLost } = lines
    lines.onLost = (...counts) => {
      reader.isThere = false
      onLost(...counts)
    }
    const started = t.mock.method(globalThis, 'setTimeout')
    const cleared = t.mock.method(globalThis, 'clearTimeout')
    reader.isThere = true
    lines.end()
    assert.equal(reader.isThere, false)
    const gone = new Set<unknown>(cleared.mock.calls.map(({ arguments: [timer] }) => timer))
    const waiting = started.mock.calls.filter(({ result }) => !gone.has(result))
    assert.equal(waiting.length, 1)
  })

  test('ends although nobody does', () => {
    const { lines } = unread()
    lines.write(LINE)
    lines.end()
  })
})

test('what cannot be written to a full disk is counted too', () => {
  const { lines, reader, text } = unread('ENOSPC')
  lines.write('one\n')
  lines.write('two\n')
  reader.isThere = true
  lines.write('three\n')
  assert.equal(text(), 'three\n2 lost\n')
})

const NUMBERED = Array.from(
  { length: 50_000 },
  (_, i) => `{"line":${i},"text":"${'é'.repeat(i % 30)}"}\n`,
).join('')

test('a reader of a pipe gets every line of 50,000 that fit, in order', async (t) => {
  const writer = JSON.stringify(import.meta.resolve('./line-writer.ts'))
  // It lives until the test has read all.
  const code = `const { stderrLines } = await import(${writer})
    for (let i = 0; i < 50_000; i++) stderrLines.write(\`{"line":\${i},"text":"\${'é'.repeat(i % 30)}"}\\n\`)
    process.stdin.resume()`
  // What spawn() makes would be a socket.
  const pipe = '"$0" --input-type=module -e "$1" 2>&1 >/dev/null | cat'
  const child = spawn('bash', ['-c', pipe, process.execPath, code])
  t.after(() => child.stdin.end())
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  await waitFor(() => text.length >= NUMBERED.length, 'all lines')
  assert.ok(text === NUMBERED)
})
