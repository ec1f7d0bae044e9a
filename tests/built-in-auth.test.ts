import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { glob, readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { runCommand } from './support/cardea-command.ts'
import { startGateway, startGatewayIn } from './support/gateway.ts'
import { waitFor } from './support/wait-for.ts'

/** key-auth and jwt in a gateway with processes: what the harness cannot show. */

interface KeyServer extends AsyncDisposable {
  readonly url: string
  asked: number
  keys: readonly JWK[]
}

async function startKeyServer(t: TestContext): Promise<KeyServer> {
  const state = { asked: 0, keys: [] as readonly JWK[] }
  const server: Server = createServer((_, response) => {
    state.asked++
    response.end(JSON.stringify({ keys: state.keys }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
  }
  t.after(close)
  const { port } = server.address() as AddressInfo
  return Object.assign(state, { url: `http://127.0.0.1:${port}/jwks.json`, [Symbol.asyncDispose]: close })
}

/** Whether keys are in the store of `host.kv`, or its journal. */
async function keptIn(directory: string): Promise<boolean> {
  const files = await Array.fromAsync(glob('.cardea/**/kv.db*', { cwd: directory }))
  const texts = await Promise.all(files.map((file) => readFile(join(directory, file), 'latin1')))
  return texts.some((text) => text.includes('jwks:'))
}

async function signer(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const sign = (sub: string): Promise<string> =>
    new SignJWT({ sub }).setProtectedHeader({ alg: 'ES256', kid }).setExpirationTime('1h').sign(privateKey)
  return { jwk: { ...(await exportJWK(publicKey)), kid }, sign }
}

test('jwt fetches its keys, and keeps them over a change of its config while their URL is down', async (t) => {
  const server = await startKeyServer(t)
  const [one, other] = [await signer('one'), await signer('one')]
  server.keys = [one.jwk]
  const configOf = (realm: string, url = server.url) => ({
    workers: 1,
    listen: [{ host: '127.0.0.1', port: 0 }],
    routes: [
      {
        name: 'all',
        path: '/*',
        respond: { body: 'in' },
        plugins: { jwt: { config: { algorithms: ['ES256'], keys: { url }, realm } } },
      },
    ],
  })
  const gateway = await startGateway(t, { config: configOf('first') })
  const ask = async (token: string | null): Promise<[number, string | null]> => {
    const headers = token === null ? {} : { authorization: `Bearer ${token}` }
    const response = await fetch(gateway.url, { headers: { ...headers, connection: 'close' } })
    await response.arrayBuffer()
    return [response.status, response.headers.get('www-authenticate')]
  }
  assert.deepEqual(await ask(await one.sign('anna')), [200, null])
  assert.deepEqual(await ask(await other.sign('anna')), [401, 'Bearer realm="first", error="invalid_token"'])
  assert.deepEqual(await ask(null), [401, 'Bearer realm="first"'])
  assert.equal(server.asked, 1)

  const { host } = new URL(server.url)
  const info = await runCommand(t, ['plugin', 'info', 'jwt'], { cwd: gateway.dir.path })
  assert.ok(info.stdout.includes(`net:config/keys/url, net:${host}`), info.stdout)

  await server[Symbol.asyncDispose]()
  await gateway.dir.write({ 'cardea.yaml': configOf('second') })
  await waitFor(async () => (await ask(null))[1] === 'Bearer realm="second"', 'the config that was saved')
  assert.deepEqual(await ask(await one.sign('bert')), [200, null])

  // Another URL is another place, and nothing is known of it.
  await gateway.dir.write({ 'cardea.yaml': configOf('third', `${server.url}?other`) })
  await waitFor(async () => (await ask(null))[1] === 'Bearer realm="third"', 'the config that was saved last')
  assert.deepEqual(await ask(await one.sign('anna')), [503, null])
})

test('jwt knows its keys after a start of the gateway while their URL is down', async (t) => {
  const server = await startKeyServer(t)
  const [one, other] = [await signer('one'), await signer('other')]
  server.keys = [one.jwk]
  const ask = async ({ url }: { readonly url: string }, by: typeof one): Promise<number> => {
    const headers = { authorization: `Bearer ${await by.sign('anna')}`, connection: 'close' }
    const response = await fetch(url, { headers })
    await response.arrayBuffer()
    return response.status
  }
  const configOf = (keys: Record<string, string>) => ({
    workers: 2,
    listen: [{ host: '127.0.0.1', port: 0 }],
    routes: [
      {
        name: 'all',
        path: '/*',
        respond: { body: 'in' },
        plugins: { jwt: { config: { algorithms: ['ES256'], keys } } },
      },
    ],
  })
  const first = await startGateway(t, { config: configOf({ url: server.url }) })
  assert.equal(await ask(first, one), 200)
  // The request does not wait for that.
  await waitFor(() => keptIn(first.dir.path), 'the keys on disk')
  assert.deepEqual(await first.stop(), { code: 0, signal: null })

  await server[Symbol.asyncDispose]()
  const second = await startGatewayIn(t, first.dir)
  // Each worker has to look for itself.
  for (let i = 0; i < 8; i++) assert.equal(await ask(second, one), 200)
  // Its key may be new.
  assert.equal(await ask(second, other), 503)
  assert.deepEqual(await second.stop(), { code: 0, signal: null })

  // Their age counts from when they were fetched, not from the start.
  await first.dir.write({ 'cardea.yaml': configOf({ url: server.url, stale_max: '1s' }) })
  const third = await startGatewayIn(t, first.dir)
  assert.equal(await ask(third, one), 503)
  assert.deepEqual(await third.stop(), { code: 0, signal: null })

  // What is known of one URL says nothing of another.
  await first.dir.write({ 'cardea.yaml': configOf({ url: `${server.url}?other` }) })
  const fourth = await startGatewayIn(t, first.dir)
  assert.equal(await ask(fourth, one), 503)
})

test('plugin info shows neither hashes nor the pepper of key-auth, wherever they are written', async (t) => {
  const key = 'ck_a-key-for-this-test-and-nothing-else-000000'
  const pepper = 'hunter2 hunter2 hunter2'
  const digest = createHmac('sha256', pepper).update(key).digest('hex')
  const keys = { first: { hash: `hmac-sha256:${digest}` } }
  const gateway = await startGateway(t, {
    config: {
      workers: 1,
      routes: [
        {
          name: 'all',
          path: '/*',
          respond: { body: 'in' },
          plugins: { 'key-auth': { config: { pepper, consumers: { app: { groups: ['apps'], keys } } } } },
        },
      ],
    },
  })
  assert.equal((await fetch(gateway.url, { headers: { 'x-api-key': key } })).status, 200)
  assert.equal((await fetch(gateway.url, { headers: { 'x-api-key': `${key}0` } })).status, 401)
  for (const args of [['plugin', 'info', 'key-auth'], ['plugin', 'info', 'key-auth', '--json'], ['status']]) {
    const { stdout, stderr } = await runCommand(t, args, { cwd: gateway.dir.path })
    assert.ok(stdout.includes('key-auth'), stderr)
    for (const secret of [digest, 'hunter2', key]) assert.ok(!`${stdout}${stderr}`.includes(secret), stdout)
  }
  assert.ok(!`${gateway.stdout}${gateway.stderr}`.includes(digest))
})
