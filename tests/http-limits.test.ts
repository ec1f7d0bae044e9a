import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ERRORS, type ErrorCode } from '../packages/gateway/src/base/errors.ts'
import { DataPlane } from '../packages/gateway/src/data-plane/data-plane.ts'
import { openListeningSocket } from '../packages/gateway/src/main/listening-socket.ts'
import { get, ok, problemOf } from './support/answers.ts'
import { type DataPlaneSpec, type LoggedLine, logInto, planOf, startDataPlane } from './support/data-plane.ts'
import { answerEach, RecordingUpstream, type UpstreamScript } from './support/recording-upstream.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** Every limit answers with its own status and code as a problem body, and closes the connection in good order. */

async function gatewayWith(t: TestContext, spec: DataPlaneSpec, script: UpstreamScript = answerEach(ok())) {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const gateway = await startDataPlane(t, { to: upstream.url, ...spec })
  return { ...gateway, upstream, connection: await TestConnection.open(t, gateway.port) }
}

const CHUNKED = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'

interface Case extends DataPlaneSpec {
  /** What the client sends. */
  readonly sends: string
  readonly code: ErrorCode
  /** Refused before any plugin can see it: the log tells of it. */
  readonly early?: true
}

const CASES: Readonly<Record<string, Case>> = {
  'a head that is malformed': {
    sends: 'GET / HTTP/1.1\r\nHo st: a\r\n\r\n',
    code: 'REQUEST_MALFORMED',
    early: true,
  },
  'a head with both lengths': {
    sends: 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    code: 'REQUEST_MALFORMED',
    early: true,
  },
  CONNECT: {
    sends: 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n',
    code: 'REQUEST_METHOD_UNSUPPORTED',
    early: true,
  },
  'another version': {
    sends: 'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
    code: 'REQUEST_VERSION_UNSUPPORTED',
    early: true,
  },
  'limits.head_bytes': {
    sends: `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(500)}\r\n\r\n`,
    limits: { headBytesMax: 400 },
    code: 'REQUEST_HEAD_TOO_LARGE',
    early: true,
  },
  'limits.head_bytes without an end': {
    sends: `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(500)}`,
    limits: { headBytesMax: 400 },
    code: 'REQUEST_HEAD_TOO_LARGE',
    early: true,
  },
  'limits.request_line_bytes': {
    sends: `GET /${'x'.repeat(500)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    limits: { requestLineBytesMax: 400 },
    code: 'REQUEST_TARGET_TOO_LONG',
    early: true,
  },
  'limits.header_count': {
    sends: `GET / HTTP/1.1\r\nHost: a\r\n${'x: 1\r\n'.repeat(10)}\r\n`,
    limits: { headerCountMax: 10 },
    code: 'REQUEST_HEAD_TOO_LARGE',
    early: true,
  },
  'limits.request_body_bytes by length': {
    sends: 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n',
    limits: { requestBodyBytesMax: 10 },
    code: 'REQUEST_BODY_TOO_LARGE',
  },
  'limits.request_body_bytes by chunks': {
    sends: `${CHUNKED}b\r\nhello world\r\n`,
    limits: { requestBodyBytesMax: 10 },
    code: 'REQUEST_BODY_TOO_LARGE',
  },
  'limits.body_bytes': {
    sends: `${CHUNKED}b\r\nhello world\r\n`,
    limits: { bodyBytesMax: 10 },
    plugins: [
      {
        name: 'reading',
        async handle(ctx) {
          await ctx.request.bytes()
          return true
        },
      },
    ],
    code: 'REQUEST_BODY_TOO_LARGE',
  },
  'limits.trailer_bytes': {
    sends: `${CHUNKED}0\r\nX: ${'x'.repeat(200)}\r\n\r\n`,
    limits: { trailerBytesMax: 100 },
    code: 'REQUEST_HEAD_TOO_LARGE',
  },
  'limits.chunk_extension_bytes': {
    sends: `${CHUNKED}1;x=${'x'.repeat(200)}\r\n`,
    limits: { chunkExtensionBytesMax: 100 },
    code: 'REQUEST_MALFORMED',
  },
  'a chunk that is no chunk': { sends: `${CHUNKED}zz\r\n`, code: 'REQUEST_MALFORMED' },
  'timeouts.head': {
    sends: 'GET / HTTP/1.1\r\nHo',
    timeouts: { headMs: 300 },
    code: 'REQUEST_HEAD_TIMEOUT',
    early: true,
  },
  'timeouts.body': {
    sends: 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf',
    timeouts: { bodyMs: 300 },
    code: 'REQUEST_BODY_TIMEOUT',
  },
  'a path with an empty segment': { sends: get('//admin'), code: 'REQUEST_PATH_REFUSED', early: true },
  'a path that is not percent-encoded as it must be': {
    sends: get('/%zz'),
    code: 'REQUEST_MALFORMED',
    early: true,
  },
}

for (const [what, { sends, code, early = false, ...spec }] of Object.entries(CASES)) {
  test(`${what}: ${ERRORS[code].status} ${code}`, async (t) => {
    const { connection, plane, logged } = await gatewayWith(t, spec)
    await connection.write(sends)
    const answer = await connection.response()
    const problem = problemOf(answer)
    assert.deepEqual(
      [problem.status, problem.code, problem.title],
      [ERRORS[code].status, code, ERRORS[code].title],
    )
    assert.match(problem.id ?? '', /^[0-9a-f]{12}-1-1$/)
    const { detail, id: requestId } = problem
    const fields = { code, detail, clientIp: '127.0.0.1', requestId, count: 1 }
    assert.deepEqual(
      logged.filter(({ message }) => message.includes('refused')).map(({ level, fields }) => [level, fields]),
      early ? [['info', fields]] : [],
    )
    assert.equal(answer.field('cache-control'), 'no-store')
    if (answer.field('connection') === 'close') assert.equal(await connection.ended(), 'closed')
    connection.socket.destroy()
    await waitFor(() => plane.counters().connections === 0 && plane.counters().exchanges === 0, 'the end')
  })
}

test('who is refused over and over makes one line in the log, and one at the end, without what was sent', async (t) => {
  const { port, logged, plane } = await gatewayWith(t, {})
  const ids: (string | undefined)[] = []
  for (let i = 0; i < 20; i++) {
    const connection = await TestConnection.open(t, port)
    await connection.write('GET /hunter2 HTTP/1.1\r\nAuthorization: Bearer hunter2\r\nHo st: hunter2\r\n\r\n')
    ids.push(problemOf(await connection.response()).id)
  }
  assert.equal(new Set(ids).size, 20)
  assert.deepEqual(
    logged.map(({ fields }) => fields.requestId),
    [ids[0]],
  )
  await plane.drain(0)
  const last = logged.at(-1)?.fields
  assert.deepEqual([logged.length, last?.requestId, last?.count], [2, ids[19], 19])
  assert.doesNotMatch(JSON.stringify(logged), /hunter2/)
})

/** How many bytes a client has to send, one every so often, before it is refused. */
async function drip(connection: TestConnection, head: string, everyMs: number): Promise<string> {
  await connection.write(head)
  const timer = setInterval(() => void connection.write('x'), everyMs)
  try {
    return problemOf(await connection.response()).code
  } finally {
    clearInterval(timer)
  }
}

test('a head that comes byte by byte is 408 all the same (Slowloris)', async (t) => {
  const { connection } = await gatewayWith(t, { timeouts: { headMs: 400 } })
  assert.equal(await drip(connection, 'GET / HTTP/1.1\r\nX: ', 20), 'REQUEST_HEAD_TIMEOUT')
})

test('the clock of a second head starts with its first byte, not with the first request', async (t) => {
  const { connection } = await gatewayWith(t, { timeouts: { headMs: 400 } })
  const start = performance.now()
  await waitFor(async () => {
    await connection.write(get())
    assert.equal((await connection.response()).text, 'ok')
    return performance.now() - start > 600
  }, 'more time than a head may take')
  assert.equal(await drip(connection, 'GET / HTTP/1.1\r\nX: ', 20), 'REQUEST_HEAD_TIMEOUT')
})

test('a body below `minimum_rate` is 408, though it never stops', async (t) => {
  const { connection } = await gatewayWith(t, {
    timeouts: { headMs: 300, minimumRateBytesPerSecond: 1_000 },
  })
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n'
  assert.equal(await drip(connection, head, 20), 'REQUEST_BODY_TIMEOUT')
})

test('a body above `minimum_rate` is served, however long it takes', async (t) => {
  const { connection } = await gatewayWith(t, {
    timeouts: { headMs: 200, minimumRateBytesPerSecond: 100 },
  })
  const pieces = 40
  await connection.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${pieces * 100}\r\n\r\n`)
  const timer = setInterval(() => void connection.write('x'.repeat(100)), 20)
  t.after(() => clearInterval(timer))
  await waitFor(() => connection.socket.bytesWritten > pieces * 100, 'the body to be written')
  clearInterval(timer)
  assert.equal((await connection.response()).text, 'ok')
})

test('past `connections` the newest connection is refused with 503, the others are served', async (t) => {
  const { connection, port, plane, logged } = await gatewayWith(t, { limits: { connectionsMax: 2 } })
  const second = await TestConnection.open(t, port)
  await waitFor(() => plane.counters().connections === 2, 'both')
  const third = await TestConnection.open(t, port)
  const answer = await third.response()
  const { code, id } = problemOf(answer)
  assert.deepEqual([code, answer.field('retry-after')], ['GATEWAY_OVERLOADED', '1'])
  assert.deepEqual(
    logged.map(({ level, fields }) => [level, fields.code, fields.requestId]),
    [['warn', 'GATEWAY_OVERLOADED', id]],
  )
  assert.equal(await third.ended(), 'closed')
  third.socket.destroy()
  for (const served of [connection, second]) {
    await served.write(get())
    assert.equal((await served.response()).text, 'ok')
  }
  connection.socket.destroy()
  await waitFor(() => plane.counters().connections === 1, 'a free place')
  const next = await TestConnection.open(t, port)
  await next.write(get())
  assert.equal((await next.response()).text, 'ok')
})

test('where a few connections too many are being refused, others get no answer', async (t) => {
  const { port, plane, connection } = await gatewayWith(t, { limits: { connectionsMax: 1 } })
  await waitFor(() => plane.counters().connections === 1, 'the first one')
  const refused = await Promise.all(Array.from({ length: 32 }, () => TestConnection.open(t, port)))
  for (const one of refused) assert.equal(problemOf(await one.response()).code, 'GATEWAY_OVERLOADED')
  // The reset may be there before the client knows that it is connected.
  const end = await TestConnection.open(t, port).then(
    (turnedAway) => turnedAway.ended(),
    (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? 'reset' : error.message),
  )
  assert.equal(end, 'reset')
  await connection.write(get())
  assert.equal((await connection.response()).text, 'ok')
})

test('clients cannot take the files that upstreams need', async (t) => {
  // A quarter for others, and a half of the rest for the upstream.
  const { port, plane, connection, logged } = await gatewayWith(t, { openFilesMax: 8 })
  const kept = [connection, await TestConnection.open(t, port), await TestConnection.open(t, port)]
  await waitFor(() => plane.counters().connections === 3, 'all three')
  const refused = await TestConnection.open(t, port)
  assert.equal(problemOf(await refused.response()).code, 'GATEWAY_OVERLOADED')
  for (const one of kept) {
    await one.write(get())
    assert.equal((await one.response()).text, 'ok')
  }
  assert.match(
    logged[0]?.message ?? '',
    /^At most 3 clients can be connected to this worker, not the 20000 of limits.connections/,
  )
})

test('past `pending_requests` a request is 503, its connection lives on', async (t) => {
  const spec = { limits: { pendingRequestsMax: 1 } }
  const { connection, port, upstream, logged } = await gatewayWith(t, spec, () => {})
  await connection.write(get())
  await waitFor(() => upstream.requests.length === 1, 'the first request')
  const second = await TestConnection.open(t, port)
  await second.write(get())
  const { code, id } = problemOf(await second.response())
  assert.equal(code, 'GATEWAY_OVERLOADED')
  assert.deepEqual(
    logged.map(({ level, fields }) => [level, fields.code, fields.requestId]),
    [['warn', 'GATEWAY_OVERLOADED', id]],
  )
  upstream.connections[0]?.write(ok())
  assert.equal((await connection.response()).text, 'ok')
  await second.write(get())
  await waitFor(() => upstream.requests.length === 2, 'the next request')
  upstream.connections[0]?.write(ok())
  assert.equal((await second.response()).text, 'ok')
})

test('before the first generation every request is 503, also HEAD and with a body', async (t) => {
  const { settings } = planOf({})
  const logged: LoggedLine[] = []
  const plane = new DataPlane({
    settings,
    log: logInto(logged),
    onFault() {},
    onTrace() {},
    workerNumber: 1,
    openFilesMax: 1_024,
  })
  t.after(() => plane.drain(0))
  const { handle, address } = await openListeningSocket({ host: '127.0.0.1', port: 0 })
  plane.accept(handle, address)
  const ids: string[] = []
  for (const request of [get(), 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf']) {
    const connection = await TestConnection.open(t, address.port)
    await connection.write(request)
    const { code, id = '' } = problemOf(await connection.response())
    assert.equal(code, 'GATEWAY_NOT_READY')
    ids.push(id)
    assert.equal(await connection.ended(), 'closed')
  }
  assert.equal(new Set(ids).size, 2)
  assert.deepEqual(
    logged.map(({ level, fields }) => [level, fields.code, fields.requestId]),
    [['warn', 'GATEWAY_NOT_READY', ids[0]]],
  )
  const connection = await TestConnection.open(t, address.port)
  await connection.request('HEAD', '/')
  const answer = await connection.response({ method: 'HEAD' })
  assert.deepEqual([answer.status, answer.field('retry-after')], [503, '1'])
  assert.equal(await connection.ended(), 'closed')
})

test('the response limits make 502 of an upstream that overdoes it', async (t) => {
  const answers = [
    `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(500)}\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${'x: 1\r\n'.repeat(11)}\r\n`,
  ]
  const { connection } = await gatewayWith(
    t,
    { limits: { headBytesMax: 400, headerCountMax: 10 } },
    answerEach((_request, index) => answers[index] ?? null),
  )
  for (const _ of answers) {
    await connection.write(get())
    assert.equal(problemOf(await connection.response()).code, 'UPSTREAM_RESPONSE_INVALID')
  }
})

test('a response that a plugin gathers past `body_bytes` is 502', async (t) => {
  const { connection } = await gatewayWith(
    t,
    {
      limits: { bodyBytesMax: 10 },
      plugins: [
        {
          name: 'reading',
          handle: () => true,
          async onResponse(ctx) {
            await ctx.response.bytes()
          },
        },
      ],
    },
    answerEach(ok('hello world')),
  )
  await connection.write(get())
  assert.equal(problemOf(await connection.response()).code, 'UPSTREAM_BODY_TOO_LARGE')
})
