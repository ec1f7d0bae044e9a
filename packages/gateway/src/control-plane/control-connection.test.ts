import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testControl } from '../../../../tests/support/control-server.ts'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { GatewayError } from '../base/errors.ts'
import type { ControlEvent } from '../protocol/control.ts'
import type { ExchangeTrace } from '../protocol/trace.ts'

const decision = (text: string): ControlEvent => ({ kind: 'decision', at: 1, plugin: 'a', text })

test('a request is answered by its id, and says who asks', async (t) => {
  const seen: unknown[] = []
  const { connect } = await testControl(t, {
    handle: async (command, who) => seen.push([command, who]),
  })
  const client = await connect()
  client.send({ id: 5, command: 'history', limit: 3 })
  assert.deepEqual(await client.next(), { kind: 'ok', id: 5, result: 1 })
  assert.deepEqual(seen, [[{ command: 'history', limit: 3 }, 'ann']])
})

test('what a command throws is its answer', async (t) => {
  const { connect } = await testControl(t, {
    handle: async ({ command }) => {
      if (command === 'approve') throw new Error('our mistake')
      throw new GatewayError('PLUGIN_NOT_FOUND', 'Cannot find plugin "x"', { plugin: 'x' })
    },
  })
  const client = await connect()
  client.send({ id: 1, command: 'status' }, { id: 2, command: 'approve' })
  assert.equal(await client.nextFailure(), '1 PLUGIN_NOT_FOUND Cannot find plugin "x"')
  assert.equal(await client.nextFailure(), '2 INTERNAL_ERROR our mistake')
})

test('requests are understood wherever their bytes are split', async (t) => {
  const { connect } = await testControl(t)
  const bytes = Buffer.from(
    `{"id":1,"who":"Zoë","command":"status"}\n\n{"id":2,"who":"a","command":"approve"}\r\n`,
  )
  for (let split = 1; split < bytes.length; split += 7) {
    const client = await connect()
    client.write(bytes.subarray(0, split))
    await new Promise(setImmediate)
    client.write(bytes.subarray(split))
    assert.deepEqual(await client.next(), { kind: 'ok', id: 1, result: { command: 'status' } })
    assert.deepEqual(await client.next(), { kind: 'ok', id: 2, result: { command: 'approve' } })
    client.socket.destroy()
  }
})

test('a client that ends its side still gets its answers, the last line being one without its end too', async (t) => {
  const { connect } = await testControl(t)
  const client = await connect()
  client.socket.end(`{"id":1,"who":"a","command":"status"}\n{"id":2,"who":"a","command":"approve"}`)
  assert.equal((await client.next()).kind, 'ok')
  assert.equal((await client.next()).kind, 'ok')
  await client.ended()
})

test('malformed lines are answered, and the connection goes on', async (t) => {
  const { connect } = await testControl(t)
  const client = await connect()
  client.write('GET / HTTP/1.1\n')
  assert.equal(
    await client.nextFailure(),
    '0 CONTROL_REQUEST_INVALID Cannot read the request: it is not JSON.',
  )
  client.write(Buffer.from([0xff, 0xfe, 0x00, 0x0a]))
  assert.match(await client.nextFailure(), /^0 CONTROL_REQUEST_INVALID .*not JSON/)
  client.send({ id: 4, command: 'reboot' })
  assert.match(await client.nextFailure(), /^4 CONTROL_REQUEST_INVALID .*"reboot"/)
  client.send({ id: 5, command: 'status' })
  assert.equal((await client.next()).kind, 'ok')
})

test('a line that never ends is refused at its bound', async (t) => {
  const { connect } = await testControl(t, { limits: { requestBytesMax: 1_000, lingerMs: 10 } })
  const client = await connect()
  client.write('x'.repeat(100_000))
  assert.equal(
    await client.nextFailure(),
    '0 CONTROL_REQUEST_INVALID Cannot read the request: a line is longer than 1000 bytes.',
  )
  await client.ended()
  await waitFor(() => {
    client.write('x')
    return client.socket.destroyed
  }, 'the connection to be cut')
})

test('a connection too many is told so; one that goes makes room', async (t) => {
  const { connect } = await testControl(t, { limits: { connectionsMax: 2 } })
  const first = await connect()
  await connect()
  const third = await connect()
  assert.equal(await third.nextFailure(), '0 CONTROL_BUSY Cannot take the connection: there are 2 already.')
  await third.ended()
  first.socket.destroy()
  const answer = await waitFor(async () => {
    const client = await connect()
    client.send({ id: 1, command: 'status' })
    const response = await client.next()
    client.socket.destroy()
    return response.kind === 'ok'
  }, 'room for a connection')
  assert.ok(answer)
})

test('a connection that wants nothing is closed, one that watches or waits is not', async (t) => {
  const slow = Promise.withResolvers<string>()
  const { connect } = await testControl(t, { limits: { idleMs: 20 }, handle: () => slow.promise })
  const [idle, watcher, waiting] = [await connect(), await connect(), await connect()]
  watcher.send({ id: 1, command: 'watch', traces: false })
  waiting.send({ id: 1, command: 'status' })
  await watcher.next()
  await idle.ended()
  const another = await connect()
  await another.ended()
  assert.deepEqual([watcher.hasEnded, waiting.hasEnded], [false, false])
  slow.resolve('late')
  assert.deepEqual(await waiting.next(), { kind: 'ok', id: 1, result: 'late' })
  await waiting.ended()
})

test('no more requests of a client are worked on at once than may, and none is lost', async (t) => {
  const pending: PromiseWithResolvers<void>[] = []
  const { connect } = await testControl(t, {
    limits: { requestsAtOnceMax: 3 },
    handle: async () => {
      pending.push(Promise.withResolvers<void>())
      await pending.at(-1)?.promise
    },
  })
  const client = await connect()
  client.send(...Array.from({ length: 10 }, (_, index) => ({ id: index + 1, command: 'status' })))
  client.socket.end()
  const ids: number[] = []
  for (let done = 0; done < 10; done += 1) {
    await waitFor(() => pending.length === Math.min(10, done + 3), `request ${done + 3}`)
    pending[done]?.resolve()
    const response = await client.next()
    if ('id' in response) ids.push(response.id)
  }
  assert.deepEqual(ids, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  await client.ended()
})

test('a client that does not read its answers gets no more of them made', async (t) => {
  let made = 0
  const { connect } = await testControl(t, {
    handle: async () => {
      made += 1
      return 'x'.repeat(300_000)
    },
  })
  const client = await connect()
  client.socket.pause()
  client.send(...Array.from({ length: 200 }, (_, index) => ({ id: index + 1, command: 'status' })))
  await waitFor(() => made > 0, 'the first answer')
  const other = await connect()
  other.send({ id: 1, command: 'status' })
  await other.next()
  assert.ok(made <= 17 + 1, `${made} answers were made`)
  client.socket.resume()
  await waitFor(() => client.lines.length === 200, 'all answers')
})

test('a client that goes away while its command runs disturbs nobody', async (t) => {
  const slow = Promise.withResolvers<string>()
  let hasBegun = false
  const { connect } = await testControl(t, {
    handle: async ({ command }) => {
      if (command === 'status') return 'fine'
      hasBegun = true
      return slow.promise
    },
  })
  const client = await connect()
  client.send({ id: 1, command: 'approve' })
  await waitFor(() => hasBegun, 'the command to begin')
  client.socket.destroy()
  const other = await connect()
  slow.resolve('to nobody')
  other.send({ id: 1, command: 'status' })
  assert.deepEqual(await other.next(), { kind: 'ok', id: 1, result: 'fine' })
})

test('a watcher that does not read loses traces, and is told how many', async (t) => {
  const { server, connect } = await testControl(t, { limits: { traceBacklogBytesMax: 10_000 } })
  const client = await connect()
  client.send({ id: 1, command: 'watch', traces: true })
  await client.next()
  client.socket.pause()
  const sent = 3_000
  const trace = { id: 'x'.repeat(1_000) } as ExchangeTrace
  for (let count = 0; count < sent; count += 1) server.broadcast({ kind: 'trace', trace })
  // On their way from a worker.
  const skippedBefore = 500
  server.broadcast({ kind: 'skipped', traces: skippedBefore })
  server.broadcast(decision('kept'))
  client.socket.resume()
  const seen = { trace: 0, skipped: 0, decision: 0 }
  while (seen.decision === 0) {
    const response = await client.next()
    assert.ok(response.kind === 'event')
    const { event } = response
    if (event.kind === 'skipped') seen.skipped += event.traces
    else if (event.kind === 'trace' || event.kind === 'decision') seen[event.kind] += 1
  }
  assert.ok(seen.skipped > 0)
  assert.equal(seen.trace + seen.skipped, sent + skippedBefore)
})

test('a watcher that does not read for long is dropped, and others are not', async (t) => {
  const { server, connect, logged } = await testControl(t, { limits: { backlogBytesMax: 100_000 } })
  const [slow, fast] = [await connect(), await connect()]
  for (const client of [slow, fast]) {
    client.send({ id: 1, command: 'watch', traces: false })
    await client.next()
  }
  slow.socket.pause()
  let sent = 0
  await waitFor(async () => {
    sent += 1
    server.broadcast(decision('x'.repeat(10_000)))
    await new Promise(setImmediate)
    return logged.length > 0
  }, 'the slow watcher to be dropped')
  assert.match(logged[0] ?? '', /^A control connection was cut: it left \d+ bytes of events unread$/)
  await waitFor(() => fast.lines.length === sent, 'the other watcher to get all')
  assert.equal(fast.hasEnded, false)
})

test('whoever waits long is told what for, and a command hears when nobody waits for it any more', async (t) => {
  const left: string[] = []
  const wait = {
    cause: { kind: 'approve' },
    who: 'ann',
    since: 1,
    generation: 3,
    streams: ['GET /events'],
    generationsLiveMax: 2,
  } as const
  const { connect, server } = await testControl(t, {
    limits: { pendingMs: 5 },
    waiting: () => wait,
    handle: (_, who, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          left.push(who)
          reject(signal.reason)
        })
      }),
  })
  const [stays, ends, cuts] = [await connect(), await connect(), await connect()]
  stays.socket.end(`{"id":4,"who":"stays","command":"approve"}\n`)
  for (let times = 0; times < 3; times++)
    assert.deepEqual(await stays.next(), { kind: 'pending', id: 4, wait })
  ends.send({ id: 1, who: 'ends', command: 'approve' })
  await ends.next()
  ends.socket.end().destroy()
  await waitFor(() => left.includes('ends'), 'the one that ended to be missed')
  cuts.send({ id: 1, who: 'cuts', command: 'approve' })
  await cuts.next()
  cuts.socket.destroy()
  await waitFor(() => left.includes('cuts'), 'the one that was cut to be missed')
  assert.deepEqual(left, ['ends', 'cuts'])
  await server.close()
  assert.ok(left.includes('stays'))
})
