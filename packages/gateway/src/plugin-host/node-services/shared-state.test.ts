import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { DEAD_PORTS } from '../../../../../tests/support/free-port.ts'
import { requireProgram } from '../../../../../tests/support/programs.ts'
import { TestRedis } from '../../../../../tests/support/redis.ts'
import { waitFor } from '../../../../../tests/support/wait-for.ts'
import type { SharedQuotaAsk } from './shared-lease.ts'
import { SharedState } from './shared-state.ts'

const ASK: SharedQuotaAsk = {
  plugin: 'p',
  key: 'k',
  rate: 0.001,
  burst: 10,
  window: null,
  need: 1,
  want: 1,
  returned: 0,
  index: 0,
}

interface SilentServer {
  readonly redis: string
  /** So far, and those that are open. */
  readonly connections: { made: number; open: number }
}

/** What takes connections and never says anything. */
async function silentServer(t: TestContext): Promise<SilentServer> {
  const connections = { made: 0, open: 0 }
  const server = createServer((socket) => {
    connections.made += 1
    connections.open += 1
    socket.on('error', () => {})
    socket.on('close', () => {
      connections.open -= 1
    })
    socket.resume()
    t.after(() => socket.destroy())
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return { redis: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`, connections }
}

interface Logging {
  readonly state: SharedState
  readonly logged: string[]
  /** Those of them that are warnings. */
  readonly warned: string[]
}

function stateOf(t: TestContext): Logging {
  const [logged, warned]: [string[], string[]] = [[], []]
  const note = (message: string): void => void logged.push(message)
  const warn = (message: string): void => {
    warned.push(message)
    note(message)
  }
  const state = new SharedState({ log: { debug: note, info: note, warn, error: note }, onBack() {} })
  t.after(() => state.close())
  return { state, logged, warned }
}

/** The state of a generation that is live and has limits in that Redis. */
async function liveOn(t: TestContext, redis: string): Promise<ReturnType<typeof stateOf>> {
  const staged = stateOf(t)
  await staged.state.prepare({ redis, onLoss: 'local' })
  staged.state.commit({ redis, onLoss: 'local' })
  return staged
}

test('SharedState connects once to what a generation names, and stays with what the next names as well', async (t) => {
  const { redis, connections } = await silentServer(t)
  const { state } = stateOf(t)
  void state.prepare({ redis, onLoss: 'local' })
  // Staged anew before the client was loaded.
  void state.prepare({ redis, onLoss: 'local' })
  await waitFor(() => connections.made > 0, 'a connection')
  state.commit({ redis, onLoss: 'local' })
  await state.prepare({ redis, onLoss: 'allow' })
  state.commit({ redis, onLoss: 'allow' })
  assert.deepEqual(connections, { made: 1, open: 1 })
  state.commit(undefined)
  await waitFor(() => connections.open === 0, 'the connection to be closed')
})

test('SharedState lets go of what a generation names that is given up', async (t) => {
  const { redis, connections } = await silentServer(t)
  const { state, logged } = stateOf(t)
  void state.prepare({ redis, onLoss: 'local' })
  await waitFor(() => connections.open === 1, 'a connection')
  state.discard()
  await waitFor(() => connections.open === 0, 'the connection to be closed')
  assert.deepEqual(logged, [])
})

test('SharedState does not hold up a generation whose Redis is not there, and says so when it is live', async (t) => {
  const { state, logged } = stateOf(t)
  const settings = { redis: `redis://127.0.0.1:${DEAD_PORTS[0]}`, onLoss: 'refuse' } as const
  await state.prepare(settings)
  assert.deepEqual(logged, [])
  state.commit(settings)
  assert.equal(logged.length, 1)
  assert.match(logged[0] ?? '', /^Redis is away, limits follow on_loss \(refuse\): connect ECONNREFUSED/)
  await assert.rejects(state.ask([]), /ECONNREFUSED/)
})

test('SharedState says as loudly that Redis is there again as that it was away, or that another one is there', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using server = await TestRedis.start(program)
  await using other = await TestRedis.start(program)
  const { state, logged, warned } = await liveOn(t, server.url)
  assert.deepEqual([logged.length, warned.length], [1, 0])
  await server.kill()
  await waitFor(() => logged.length === 2, 'the loss to be noticed')
  await server.start()
  await waitFor(() => logged.length === 3, 'the Redis to be back')
  await server.kill()
  await waitFor(() => logged.length === 4, 'the second loss to be noticed')
  const settings = { redis: other.url, onLoss: 'local' } as const
  await state.prepare(settings)
  state.commit(settings)
  const said = (messages: readonly string[]) => messages.map((message) => message.slice(0, 13))
  const both = ['Redis is away', 'Redis is ther']
  assert.deepEqual(said(warned), [...both, ...both])
  // Nothing is to be taken back of what is not used any more.
  await other.kill()
  await waitFor(() => logged.length === 6, 'the third loss to be noticed')
  state.commit(undefined)
  await server.start()
  await state.prepare({ redis: server.url, onLoss: 'local' })
  state.commit({ redis: server.url, onLoss: 'local' })
  assert.deepEqual([logged.length, warned.length], [7, 5])
})

test('SharedState says why a Redis that came back lets nobody in, once, whatever else it said of it before', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using server = await TestRedis.start(program)
  await server.command('CONFIG SET requirepass old')
  const { state, logged } = await liveOn(t, server.url.replace('//', '//:old@'))
  await state.ask([ASK])
  await server.kill()
  await waitFor(() => logged.length === 2, 'the loss to be noticed')
  await server.start(['--requirepass', 'new'])
  await waitFor(() => logged.length === 3, 'the reason')
  assert.match(logged[2] ?? '', /^Redis is away, limits follow on_loss \(local\): WRONGPASS/)
  await assert.rejects(state.ask([ASK]), /^Error: WRONGPASS/)
  await server.command('CONFIG SET requirepass old', 'new')
  await waitFor(() => logged.length === 4, 'the Redis to be back')
  assert.match(logged[3] ?? '', /^Redis is there/)
})

test('SharedState can be asked from the first moment of a generation on, of what that generation names', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using first = await TestRedis.start(program)
  await using second = await TestRedis.start(program)
  const { state, logged } = stateOf(t)
  for (const { url } of [first, second]) {
    await state.prepare({ redis: url, onLoss: 'local' })
    state.commit({ redis: url, onLoss: 'local' })
    const [note] = await state.ask([{ ...ASK, need: 4 }])
    assert.deepEqual([note?.tokens, Math.floor(note?.left ?? 0)], [4, 6])
  }
  assert.equal(logged.length, 2)
  assert.ok(logged.every((message) => message.startsWith('Redis is there')))
})

test('SharedState gives back what it is still granted when it has left, also where another ask of the same failed', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using server = await TestRedis.start(program)
  await server.command('SET cardea:quota:p:broken text')
  for (const window of [null, 'sliding'] as const) {
    const { state } = await liveOn(t, server.url)
    const ask = { ...ASK, key: `${window}`, window, rate: 10 / 864_000, burst: 10 }
    const [first] = await state.ask([ask])
    assert.equal(first?.tokens, 1)
    // What answers them is read in a later turn.
    const late = state.ask([
      { ...ask, need: 4 },
      { ...ask, key: 'broken' },
      { ...ask, need: 2 },
    ])
    const [, refused] = await Promise.allSettled([state.close(), late])
    assert.equal(refused.status, 'rejected')
    const { state: other } = await liveOn(t, server.url)
    const [rest] = await other.ask([{ ...ask, need: 10 }])
    assert.equal(rest?.tokens, 9, `${window}`)
  }
})

test('SharedState ends before an answer that does not come is given up', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using server = await TestRedis.start(program)
  const { state } = await liveOn(t, server.url)
  server.pause()
  const order: string[] = []
  const asked = state.ask([ASK]).catch(() => order.push('given up'))
  await Promise.all([asked, state.close().then(() => order.push('closed'))])
  assert.deepEqual(order, ['closed', 'given up'])
})

test('SharedState goes from a Redis that became a replica to the one that has its name now, and says so once', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using first = await TestRedis.start(program)
  await using second = await TestRedis.start(program)
  // As a name that is led to another address: who is connected stays where he is.
  let port = first.port
  const name = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    client.pipe(upstream).pipe(client)
    for (const socket of [client, upstream]) {
      socket.on('error', () => {})
      t.after(() => socket.destroy())
    }
  }).listen(0, '127.0.0.1')
  t.after(() => name.close())
  await once(name, 'listening')
  const redis = `redis://127.0.0.1:${(name.address() as AddressInfo).port}`
  const { state, logged } = await liveOn(t, redis)
  await state.ask([ASK])
  await first.command(`REPLICAOF 127.0.0.1 ${DEAD_PORTS[0]}`)
  await assert.rejects(state.ask([ASK]), /READONLY/)
  await waitFor(
    () =>
      state.ask([ASK]).then(
        () => false,
        (error: Error) => error.message.startsWith('READONLY'),
      ),
    'it to be tried again',
  )
  port = second.port
  await waitFor(
    () =>
      state.ask([ASK]).then(
        () => true,
        () => false,
      ),
    'the new primary',
  )
  assert.deepEqual(
    logged.map((message) => message.slice(0, 13)),
    ['Redis is ther', 'Redis is away', 'Redis is ther'],
  )
})

test('SharedState begins no window anew because the clock of Redis goes back over its start', async (t) => {
  const program = requireProgram(t, 'redis-server')
  if (program === null) return
  await using server = await TestRedis.start(program)
  const { state } = await liveOn(t, server.url)
  for (const window of ['fixed', 'sliding'] as const) {
    // A window of ten days.
    const ask = { ...ASK, key: window, window, rate: 10 / 864_000, burst: 10, need: 10, want: 10 }
    const [all] = await state.ask([ask])
    assert.equal(all?.tokens, 10)
    // As if they had been taken in the window that is still to come.
    await server.command(`HINCRBY cardea:quota:p:${window} index 1`)
    const [none] = await state.ask([ask])
    assert.deepEqual([none?.tokens, none?.index], [0, (all?.index ?? 0) + 1], window)
  }
})
