import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { sayings } from './support/log-lines.ts'

/** Limits of one name and key with other numbers on another route: the generous one would refill the strict one. */

const LOGIN = { limit: 3, window: '20d', key: 'ip' }
const SITE = { limit: 50, window: '1s', key: 'ip' }

function configOf(login: object, site: object | null): Record<string, unknown> {
  const respond = { status: 200, body: 'x' }
  const route = (name: string, path: string, config: object | null) => {
    return { name, path, respond, ...(config === null ? {} : { plugins: { 'rate-limit': { config } } }) }
  }
  const routes = [route('login', '/login', login), route('site', '/*', site)]
  return { listen: [{ host: '127.0.0.1', port: 0 }], workers: 1, routes }
}

async function statusesOf(gateway: TestGateway, path: string, requests: number): Promise<number[]> {
  const statuses: number[] = []
  while (statuses.length < requests) {
    const response = await fetch(new URL(path, gateway.url))
    await response.bytes()
    statuses.push(response.status)
  }
  return statuses
}

test('a change that gives a limit other numbers on another route is refused, and takes nothing back', async (t) => {
  const gateway = await startGateway(t, { config: configOf(LOGIN, null) })
  assert.deepEqual(await statusesOf(gateway, '/login', 4), [200, 200, 200, 429])
  const said = sayings(gateway)
  await gateway.dir.write({ 'cardea.yaml': configOf(LOGIN, SITE) })
  const failure = await said(/The change failed at trial, generation \d+ serves on/)
  assert.match(failure, /generation 1 serves on/)
  assert.match(gateway.stderr, /Limit \\?"default\\?" by ip is 50 in 1 s \(bucket\) on route site/)
  assert.deepEqual(await statusesOf(gateway, '/login', 2), [429, 429])
  // By another name it is another limit, and does not touch the first.
  await gateway.dir.write({ 'cardea.yaml': configOf(LOGIN, { ...SITE, name: 'site' }) })
  await said(/Generation \d+ is live/)
  assert.deepEqual(await statusesOf(gateway, '/', 2), [200, 200])
  assert.deepEqual(await statusesOf(gateway, '/login', 2), [429, 429])
})
