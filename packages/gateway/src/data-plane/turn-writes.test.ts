import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { type Clock, systemClock } from './sweeper.ts'
import { type LoopMetrics, TurnWrites } from './turn-writes.ts'
import { Wire, type WireOwner } from './wire.ts'

/** Time and the event loop as the test says. */
function rig() {
  const state = { nowMs: 0, metrics: { loopCount: 0, events: 0 } satisfies LoopMetrics }
  const clock: Clock = { ...systemClock, nowMs: () => state.nowMs }
  const writes = new TurnWrites(clock, () => ({ ...state.metrics }))
  const written: string[] = []
  const add = (name: string) => writes.add({ writeDeferred: () => void written.push(name) })
  /** A sweep after so many turns, with so many events. */
  const sweepAfter = (turns: number, events: number) => {
    state.metrics = { loopCount: state.metrics.loopCount + turns, events: state.metrics.events + events }
    writes.sweep()
  }
  return { state, writes, written, add, sweepAfter }
}

const turnEnd = () => new Promise((resolve) => setImmediate(resolve))

test('sweep() gathers writes while turns of the loop bring six events and more, by what they brought since the last one', () => {
  const { writes, sweepAfter } = rig()
  assert.equal(writes.isGathering, false)
  const seen = [
    [10, 59],
    [10, 60],
    [0, 0],
    [10, 600],
    [1_000, 1_000],
  ].map(([turns = 0, events = 0]) => {
    sweepAfter(turns, events)
    return writes.isGathering
  })
  assert.deepEqual(seen, [false, true, false, true, false])
})

test('add() has all written at the end of the turn, in order, and again in the next', async () => {
  const { written, add } = rig()
  add('a')
  add('b')
  assert.deepEqual(written, [])
  await turnEnd()
  assert.deepEqual(written, ['a', 'b'])
  add('c')
  await turnEnd()
  assert.deepEqual(written, ['a', 'b', 'c'])
})

test('add() lets nobody wait for more than 32 writes', () => {
  const { written, add } = rig()
  for (let i = 0; i < 33; i++) add(String(i))
  assert.equal(written.length, 32)
  assert.equal(written[31], '31')
})

test('add() lets nobody wait while plugins compute: past a millisecond the fourth writes all', () => {
  const { state, written, add } = rig()
  state.nowMs = 100
  for (const name of ['a', 'b', 'c', 'd']) add(name)
  state.nowMs = 101
  for (const name of ['e', 'f', 'g', 'h']) add(name)
  assert.deepEqual(written, [])
  state.nowMs = 101.5
  for (const name of ['i', 'j', 'k']) add(name)
  assert.deepEqual(written, [])
  add('l')
  assert.equal(written.length, 12)
})

test('who is added while all are written takes the place of nobody, and is written at the end of the turn', async () => {
  const { writes, written } = rig()
  const later = (name: string) => writes.add({ writeDeferred: () => void written.push(name) })
  writes.add({
    writeDeferred() {
      written.push('first')
      for (const name of ['c', 'd', 'e']) later(name)
    },
  })
  later('b')
  writes.write()
  assert.deepEqual(written, ['first', 'b'])
  await turnEnd()
  assert.deepEqual(written, ['first', 'b', 'c', 'd', 'e'])
})

test('sweep() writes what waits: the end of a turn can be lost with a plugin that was ended in it', async (t) => {
  const { written, add, sweepAfter } = rig()
  const lost = t.mock.method(globalThis, 'setImmediate', () => {})
  add('a')
  lost.mock.restore()
  sweepAfter(1, 1)
  assert.deepEqual(written, ['a'])
  add('b')
  await turnEnd()
  assert.deepEqual(written, ['a', 'b'])
})

function ownerToldBy(onClosed: () => void): WireOwner {
  return {
    onBytes() {},
    onEnd() {},
    onDrain() {},
    onSendTimeout() {},
    onClosed,
    onFault(error) {
      throw error
    },
  }
}

/** A connection to a server that notes what comes, while writes are gathered. */
async function connected(t: TestContext, relayBufferBytes = 65_536) {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const writes = new TurnWrites(systemClock, () => ({ loopCount: 0, events: 0 }))
  const closed = Promise.withResolvers<void>()
  const owner = ownerToldBy(closed.resolve)
  const peer = once(server, 'connection') as Promise<[Socket]>
  const wire = await new Promise<Wire>((resolve) => {
    const made = Wire.connect({ port, host: '127.0.0.1' }, { relayBufferBytes, writes }, owner, () =>
      resolve(made),
    )
  })
  t.after(() => wire.destroy())
  const [socket] = await peer
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  const seen = { text: '', ended: false, closed: false }
  socket.on('data', (chunk) => {
    seen.text += chunk.toString('latin1')
  })
  socket.on('end', () => {
    seen.ended = true
  })
  socket.on('close', () => {
    seen.closed = true
  })
  writes.isGathering = true
  return { wire, writes, seen, socket, closed: closed.promise }
}

test('what a wire is given in one turn leaves in order, text, bytes and FIN', async (t) => {
  const { wire, seen } = await connected(t)
  wire.writeText('a')
  wire.writeText('b')
  assert.equal(wire.hasUnsent, true)
  wire.writeBytes('c', Buffer.from('-d-'), 1, 2, 'e')
  const large = Buffer.alloc(10_000, 'x')
  wire.writeBytes('<', large, 0, large.length, '>')
  wire.writeText('f')
  wire.end()
  wire.end()
  await waitFor(() => seen.ended, 'the end')
  assert.equal(seen.text, `abcde<${large}>f`)
})

test('a wire without anything that waits ends at once', async (t) => {
  const { wire, writes, seen } = await connected(t)
  wire.writeText('a')
  writes.write()
  wire.end()
  await waitFor(() => seen.ended, 'the end')
  assert.equal(seen.text, 'a')
})

test('destroy() comes after what was written before it, FIN and all', async (t) => {
  const { wire, seen } = await connected(t)
  wire.writeText('answer')
  wire.end()
  wire.destroy()
  await waitFor(() => seen.ended, 'the end')
  assert.equal(seen.text, 'answer')
})

test('reset() leaves nothing waiting', async (t) => {
  const { wire, writes, seen } = await connected(t)
  wire.writeText('part of an answer')
  wire.reset()
  assert.equal(wire.hasUnsent, false)
  writes.write()
  await waitFor(() => seen.closed, 'the reset')
  assert.equal(seen.ended, false)
})

for (const isGathering of [false, true]) {
  test(`reset() closes a connection whose FIN is on its way, ${isGathering ? 'gathering' : 'else'}`, async (t) => {
    for (const nextStep of [() => {}, turnEnd]) {
      const { wire, writes, seen, closed } = await connected(t)
      writes.isGathering = isGathering
      wire.writeText('all of an answer')
      wire.end()
      await nextStep()
      wire.reset()
      await closed
      await waitFor(() => seen.ended, 'the end')
      assert.equal(seen.text, 'all of an answer')
    }
  })
}

test('what waits is bounded: text that would make it 4 KiB leaves at once, after it', async (t) => {
  const { wire, seen } = await connected(t)
  const [first, second] = ['a'.repeat(4_000), 'b'.repeat(96)]
  wire.writeText(first)
  wire.writeText(second)
  assert.equal(wire.hasUnsent, false)
  await waitFor(() => seen.text.length === 4_096, 'both')
  assert.equal(seen.text, first + second)
})

test('text that a full socket cannot take is counted at once, as without gathering', async (t) => {
  const { wire, writes, socket } = await connected(t, 4_096)
  socket.pause()
  // Until neither kernel buffer has room.
  const large = Buffer.alloc(60_000, 'x')
  while (!wire.needsDrain) wire.writeBytes('', large, 0, large.length, '')
  writes.add = () => assert.fail('it should be written at once')
  wire.writeText('more')
  assert.equal(wire.needsDrain, true)
})

test('what waits for a socket that has gone is dropped without a word', async (t) => {
  const { wire, writes, seen, socket, closed } = await connected(t)
  socket.resetAndDestroy()
  await closed
  wire.writeText('too late')
  writes.write()
  assert.equal(wire.hasUnsent, false)
  assert.equal(seen.text, '')
})
