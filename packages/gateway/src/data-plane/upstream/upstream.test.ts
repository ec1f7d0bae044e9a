import assert from 'node:assert/strict'
import type dns from 'node:dns'
import { type TestContext, test } from 'node:test'
import { DEAD_PORTS } from '../../../../../tests/support/free-port.ts'
import { UPSTREAM_DEFAULTS } from '../../config/limits.ts'
import type { UpstreamPlan } from '../../protocol/generation.ts'
import type { UpstreamConnection } from '../http1/upstream-connection.ts'
import { Sweeper, systemClock } from '../sweeper.ts'
import { SETTINGS } from '../test-exchange.ts'
import { TurnWrites } from '../turn-writes.ts'
import { AddressBook } from './addresses.ts'
import { type Upstream, UpstreamRegistry } from './upstream.ts'

/** A registry whose names all lead to a port where nobody listens, and the names that it has asked for. */
function registryOf(t: TestContext) {
  const asked: string[] = []
  const resolve = (
    name: string,
    _options: unknown,
    done: (error: null, found: dns.LookupAddress[]) => void,
  ) => {
    asked.push(name)
    done(null, [{ address: '127.0.0.1', family: 4 }])
  }
  const onInternalError = (error: unknown): void => assert.fail(`${error}`)
  const sweeper = new Sweeper(systemClock, onInternalError)
  t.after(() => sweeper.stop())
  const registry = new UpstreamRegistry({
    sweeper,
    addresses: new AddressBook(() => sweeper.nowMs, resolve as unknown as typeof dns.lookup),
    writes: new TurnWrites(systemClock),
    onInternalError,
  })
  return { registry, asked }
}

const [port] = DEAD_PORTS

const planOf = (settings: Partial<UpstreamPlan> = {}): UpstreamPlan => ({
  ...UPSTREAM_DEFAULTS,
  name: 'app',
  targets: [{ url: `http://app.test:${port}`, scheme: 'http', hostname: 'app.test', port }],
  tls: { serverName: '', ca: '', verify: true },
  ...settings,
})

/** Resolves when the connection has failed. */
async function connect(upstream: Upstream): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<string>()
  upstream.pools[0]?.acquire({
    onAcquired: () => resolve('connected'),
    onAcquireFailed: ({ code }) => resolve(code),
    onTargetEjected: () => false,
  })
  assert.equal(await promise, 'UPSTREAM_CONNECT_FAILED')
}

test('UpstreamRegistry keeps the addresses of a name for as long as one of its pools connects to it', async (t) => {
  const { registry, asked } = registryOf(t)
  const first = registry.open(planOf(), SETTINGS)
  await connect(first)
  const second = registry.open(planOf({ queueMax: 1 }), SETTINGS)
  registry.release(first, false)
  await connect(second)
  assert.deepEqual(asked, ['app.test'])
  registry.release(second, false)
  const third = registry.open(planOf(), SETTINGS)
  await connect(third)
  assert.deepEqual(asked, ['app.test', 'app.test'])
  registry.release(third, false)
})

test('UpstreamRegistry keeps a pool whose upstream is to be tried more or less often', (t) => {
  const { registry } = registryOf(t)
  const first = registry.open(planOf(), SETTINGS)
  const second = registry.open(planOf({ triesMax: 1, triesTimeoutMs: 1 }), SETTINGS)
  assert.equal(second.pools[0], first.pools[0])
  assert.equal(second.plan.triesMax, 1)
  registry.release(first, false)
  registry.release(second, false)
})

test('UpstreamRegistry keeps no idle connection for a generation that did not come', (t) => {
  const { registry } = registryOf(t)
  const replaced = registry.open(planOf(), SETTINGS)
  registry.retire(replaced)
  registry.release(registry.open(planOf(), SETTINGS), false)
  let isClosed = false
  const reusable = { close: () => (isClosed = true) } as unknown as UpstreamConnection
  replaced.pools[0]?.onReusable(reusable)
  assert.equal(isClosed, true)
  registry.release(replaced, true)
})
