import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AuthGate, type AuthGateOptions, authGate, type Refusal } from './auth-gate.ts'
import { type Consumer, consumerOf, defineConsumer } from './consumer.ts'
import { AMBIGUOUS } from './credentials.ts'
import type { Context } from './index.ts'
import { type TestGateway, type TestRequestInit, testGateway } from './testing/index.ts'

const REFUSAL: Refusal = { status: 401, code: 'WHO_ARE_YOU', detail: 'Nobody knows.', error: null }
const ANNA = defineConsumer({ id: 'anna', method: 'test' })

const KEY: AuthGateOptions = {
  sources: [{ header: 'X-Key' }],
  challenges: [{ scheme: 'ApiKey', parameters: { realm: 'api', name: 'x-key' } }],
  upstreamFields: ['X-User-Name', 'x-plan'],
}

interface Guarded extends AsyncDisposable {
  readonly gateway: TestGateway
  readonly consumers: (Consumer | null)[]
}

/** A gateway in which `handle` does what a plugin would do with a gate of these options. */
async function guarded(
  options: AuthGateOptions,
  handle: (ctx: Context, gate: AuthGate) => boolean,
): Promise<Guarded> {
  const consumers: (Consumer | null)[] = []
  const gate = authGate(options)
  const gateway = await testGateway({
    plugins: [
      { main: () => ({ name: 'guard', handle: (ctx) => handle(ctx, gate) }) },
      {
        manifest: { name: 'witness', category: 'custom' },
        main: () => ({ name: 'witness', handle: (ctx) => consumers.push(consumerOf(ctx)) > 0 }),
      },
    ],
  })
  return { gateway, consumers, [Symbol.asyncDispose]: () => gateway.close() }
}

const admitting = (ctx: Context, gate: AuthGate): boolean =>
  gate.admit(ctx, { consumer: ANNA, fieldValues: ['anna', null] })

const refusing =
  (refusal: Refusal) =>
  (ctx: Context, gate: AuthGate): boolean =>
    gate.refuse(ctx, refusal)

async function refusalBy(options: AuthGateOptions, refusal: Refusal) {
  await using bench = await guarded(options, refusing(refusal))
  const response = await bench.gateway.fetch('/')
  assert.equal(bench.gateway.upstreamRequests.length, 0)
  return { response, body: (await response.json()) as Record<string, unknown> }
}

test('AuthGate.refuse() answers with a problem that no cache keeps, and what the client has to bring', async () => {
  const { response, body } = await refusalBy(KEY, REFUSAL)
  assert.equal(response.status, 401)
  const { id, ...said } = body
  assert.deepEqual(said, {
    type: 'about:blank',
    title: 'Unauthorized',
    status: 401,
    code: 'WHO_ARE_YOU',
    detail: 'Nobody knows.',
  })
  assert.equal(typeof id, 'string')
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  assert.equal(response.headers.get('cache-control'), 'no-store')
  assert.equal(response.headers.get('www-authenticate'), 'ApiKey realm="api", name="x-key"')
})

test('AuthGate.refuse() says the error in every challenge, and the scope with insufficient_scope only', async () => {
  const options: AuthGateOptions = {
    ...KEY,
    challenges: [
      { scheme: 'Bearer', parameters: { realm: 'a "b" \\c' } },
      { scheme: 'Basic', parameters: { realm: 'd' } },
    ],
    scope: 'read write',
  }
  const challengeFor = async (error: Refusal['error']) =>
    (await refusalBy(options, { ...REFUSAL, error })).response.headers.get('www-authenticate')
  assert.equal(await challengeFor(null), 'Bearer realm="a \\"b\\" \\\\c", Basic realm="d"')
  assert.equal(
    await challengeFor('invalid_token'),
    'Bearer realm="a \\"b\\" \\\\c", error="invalid_token", Basic realm="d", error="invalid_token"',
  )
  const scoped = 'error="insufficient_scope", scope="read write"'
  assert.equal(
    await challengeFor('insufficient_scope'),
    `Bearer realm="a \\"b\\" \\\\c", ${scoped}, Basic realm="d", ${scoped}`,
  )
})

test('AuthGate.refuse() asks a client to come again for what is not its doing, and challenges nobody', async () => {
  const refusal: Refusal = { ...REFUSAL, status: 503, retryAfterSeconds: 7 }
  const { response, body } = await refusalBy(KEY, refusal)
  assert.equal(response.status, 503)
  assert.equal(body.title, 'Service Unavailable')
  assert.equal(response.headers.get('retry-after'), '7')
  assert.equal(response.headers.get('www-authenticate'), null)
})

test('authGate() throws on a challenge that no field can hold', () => {
  const withParameters = (parameters: Readonly<Record<string, string>>, scope?: string) => () =>
    authGate({ ...KEY, challenges: [{ scheme: 'Bearer', parameters }], scope })
  for (const value of ['a\r\nx: y', 'ü', '\0', '\t']) {
    assert.throws(withParameters({ realm: value }), TypeError)
    assert.throws(withParameters({ realm: 'a' }, value), TypeError)
  }
  assert.throws(withParameters({}), /needs a parameter/)
})

test('AuthGate.read() finds what credentialReader() finds', async () => {
  const found: unknown[] = []
  const options: AuthGateOptions = { ...KEY, sources: [{ header: 'x-key' }, { query: 'key' }] }
  await using bench = await guarded(options, (ctx, gate) => {
    found.push(gate.read(ctx.request))
    return true
  })
  await bench.gateway.fetch('/')
  await bench.gateway.fetch('/?key=a')
  await bench.gateway.fetch('/?key=a', { headers: { 'x-key': 'b' } })
  assert.deepEqual(found, [null, 'a', AMBIGUOUS])
})

async function seenAfterAdmit(options: AuthGateOptions, init: TestRequestInit) {
  await using bench = await guarded(options, admitting)
  assert.equal((await bench.gateway.fetch('/', init)).status, 200)
  assert.deepEqual(bench.consumers, [ANNA])
  const [seen] = bench.gateway.upstreamRequests
  assert.ok(seen)
  const own = [...seen.headers].filter(([name]) => /^x[-_](user|plan|key)/.test(name))
  return { headers: Object.fromEntries(own), trailers: Object.fromEntries(seen.trailers) }
}

test('AuthGate.admit() takes the credential off, tells the upstream what is known, and names the consumer', async () => {
  const { headers } = await seenAfterAdmit(KEY, {
    headers: { 'x-key': 'secret', 'x-user-name': 'admin', x_user_name: 'admin', 'x-plan': 'gold' },
  })
  assert.deepEqual(headers, { 'x-user-name': 'anna' })
})

test('AuthGate.admit() leaves the credential where the upstream needs it', async () => {
  const { headers } = await seenAfterAdmit(
    { ...KEY, keepsCredential: true },
    { headers: { 'x-key': 'secret' } },
  )
  assert.deepEqual(headers, { 'x-key': 'secret', 'x-user-name': 'anna' })
})

const FORGED = { 'X-Key': 'forged', X_User_Name: 'admin', 'x-user-name': 'admin', 'X-Plan': 'gold' }

test('AuthGate.admit() lets neither its fields nor a credential come in the trailers, had the head one or not', async () => {
  for (const source of [{ header: 'X-Key' }, { header: 'X-Key', scheme: 'Key' }]) {
    for (const keepsCredential of [false, true]) {
      for (const headers of [{}, { 'x-key': 'Key secret' }]) {
        const init = { method: 'POST', body: 'content', headers, trailers: { ...FORGED, 'x-sum': '7' } }
        const seen = await seenAfterAdmit({ ...KEY, sources: [source], keepsCredential }, init)
        assert.deepEqual(seen.trailers, { 'x-sum': '7' })
      }
    }
  }
})

test('AuthGate.admit() never lets an anonymous consumer take the place of a known one', async () => {
  const nobody = defineConsumer({ id: 'nobody', method: 'test', anonymous: true })
  await using bench = await guarded(KEY, (ctx, gate) => {
    gate.admit(ctx, { consumer: ANNA, fieldValues: ['anna', null] })
    return gate.admit(ctx, { consumer: nobody, fieldValues: [null, null] })
  })
  await bench.gateway.fetch('/')
  assert.deepEqual(bench.consumers, [ANNA])
  assert.equal(bench.gateway.upstreamRequests[0]?.headers.get('x-user-name'), null)
})
