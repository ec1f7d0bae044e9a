import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { descendantsOf, isAlive } from '../../tests/support/processes.ts'
import { waitFor } from '../../tests/support/wait-for.ts'

interface Quickstart {
  readonly process: ChildProcess
  readonly output: { text: string }
}

const READY = /^Cardea is listening on (\S+)/m

function start(port: number): Quickstart {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'start.ts')], {
    env: { ...process.env, PORT: String(port), NODE_TEST_CONTEXT: undefined },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { text: '' }
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output.text += text
    })
  }
  return { process: child, output }
}

test('npm start says what to do when the port is taken', async (t: TestContext) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const quickstart = start(port)
  const [code] = await once(quickstart.process, 'close')
  assert.equal(code, 1)
  const advice = `Port ${port} is taken by another program. Choose another one: PORT=${port + 1} npm start\n`
  assert.equal(quickstart.output.text, advice)
})

describe('the quickstart', () => {
  let quickstart: Quickstart
  let url = ''

  before(async () => {
    quickstart = start(0)
    const { process: child, output } = quickstart
    await waitFor(() => child.exitCode !== null || READY.test(output.text), 'the quickstart to listen')
    url = READY.exec(output.text)?.[1] ?? assert.fail(`The quickstart ended:\n${output.text}`)
  })

  after(() => quickstart.process.kill('SIGKILL'))

  test('names the plugins of each route in order, and a command to try', () => {
    const { text } = quickstart.output
    assert.match(text, /shop: .*access-log → request-timer → cors → welcome → /)
    assert.match(text, /admin: .*access-log → request-timer → cors → key-auth → welcome → /)
    assert.match(text, /Try: curl -i http:/)
  })

  test('answers 401 on the admin route without the key, and the other plugins still run', async () => {
    for (const key of [null, 'wrong', 'open-sesame2', 'Bearer open-sesame']) {
      const headers = key === null ? {} : { 'x-api-key': key }
      const response = await fetch(`${url}/admin/orders`, { headers })
      assert.equal(response.status, 401, String(key))
      assert.match(response.headers.get('www-authenticate') ?? '', /^ApiKey /)
      assert.match(response.headers.get('server-timing') ?? '', /^gateway;dur=[\d.]+$/)
    }
  })

  test('passes the admin route with the key', async () => {
    const headers = { 'x-api-key': 'open-sesame' }
    const response = await fetch(`${url}/admin/orders`, { headers })
    assert.equal(response.status, 200)
    assert.deepEqual(await response.json(), [{ order: 17, product: 2, customer: 'Janus' }])
  })

  test('lets pages of local servers read its answers, and answers their preflights', async () => {
    const origin = 'http://localhost:5173'
    const response = await fetch(`${url}/products`, { headers: { origin } })
    assert.equal(response.headers.get('access-control-allow-origin'), origin)
    const asked = { origin, 'access-control-request-method': 'PUT' }
    const preflight = await fetch(`${url}/admin/orders`, { method: 'OPTIONS', headers: asked })
    assert.equal(preflight.status, 204)
    assert.equal(preflight.headers.get('access-control-allow-origin'), origin)
  })

  test('serves the shop, with a greeting and a timing', async () => {
    const response = await fetch(`${url}/products`)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('x-greeting'), 'Welcome to the shop')
    assert.match(response.headers.get('server-timing') ?? '', /^gateway;dur=[\d.]+$/)
    assert.match(await response.text(), /Brass hinge.*Door knocker/)
    assert.equal((await fetch(`${url}/nothing`)).status, 404)
  })

  test('ends with all its processes on SIGTERM, exit code 0', async () => {
    const pids = descendantsOf(quickstart.process.pid ?? 0).map(({ pid }) => pid)
    assert.ok(pids.length > 0)
    quickstart.process.kill('SIGTERM')
    const [code] = await once(quickstart.process, 'exit')
    assert.equal(code, 0, quickstart.output.text)
    assert.deepEqual(pids.filter(isAlive), [])
  })
})
