import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { GenerationPlan } from '../packages/gateway/src/protocol/generation.ts'
import { packPlan } from '../packages/gateway/src/protocol/packed-plan.ts'
import { instancePlan } from '../packages/gateway/src/protocol/test-plans.ts'
import { planOf, respond } from './support/data-plane.ts'
import { LoneWorker } from './support/lone-worker.ts'
import { waitFor } from './support/wait-for.ts'

/** What a worker process keeps open of generations that name a Redis. */

const BASE = planOf({ routes: [{ name: 'all', action: respond(200, 'here') }] })
const CODE = `exports.PluginMain = () => ({ name: 'sample', handle: () => true })`
const CODE_HASH = createHash('sha256').update(CODE).digest('hex')

/** With one plugin: the watchdog of the worker starts before all else of the first of them. */
function generation(number: number, redis: string): GenerationPlan {
  return {
    ...BASE,
    number,
    settings: { ...BASE.settings, state: { redis, onLoss: 'local' } },
    routes: BASE.routes.map((route) => ({ ...route, chain: [3] })),
    instances: [instancePlan({ id: 3, codeHash: CODE_HASH, category: 'custom', key: 'sample' })],
    bundles: [
      {
        codeHash: CODE_HASH,
        code: CODE,
        sourceMap: '{"version":3,"sources":[],"mappings":""}',
        entryFile: '/p/plugin.js',
      },
    ],
  }
}

/** Takes connections as Redis does, and says that it is there. */
async function fakeRedis(t: TestContext): Promise<{ readonly url: string; readonly seen: Set<Socket> }> {
  const seen = new Set<Socket>()
  const server = createServer((socket) => {
    seen.add(socket)
    socket.on('error', () => {})
    socket.on('data', (text) => {
      for (const _ of String(text).matchAll(/^\*/gm)) socket.write('+OK\r\n')
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    for (const socket of seen) socket.destroy()
    server.close()
  })
  return { url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

test('a generation that is given up while the watchdog starts connects to nothing', async (t) => {
  const redis = await fakeRedis(t)
  const worker = await LoneWorker.start(t, BASE.settings)
  const staged = worker.request((id) => ({
    kind: 'stage',
    id,
    plan: packPlan(generation(1, redis.url)),
  }))
  worker.send({ kind: 'discard', generation: 1 })
  const answer = await staged
  assert.match(answer.kind === 'stage-failed' ? answer.failure.message : answer.kind, /it was discarded/)
  assert.equal(redis.seen.size, 0)
})

test('a generation that is given up while the watchdog starts leaves the connection of its successor alone', async (t) => {
  const [first, second] = [await fakeRedis(t), await fakeRedis(t)]
  const worker = await LoneWorker.start(t, BASE.settings)
  const given = worker.request((id) => ({ kind: 'stage', id, plan: packPlan(generation(1, first.url)) }))
  worker.send({ kind: 'discard', generation: 1 })
  await worker.serve(generation(2, second.url))
  assert.equal((await given).kind, 'stage-failed')
  assert.equal((await fetch(`http://127.0.0.1:${worker.port}`)).status, 200)
  await waitFor(() => [...second.seen].some(({ destroyed }) => !destroyed), 'the connection that is live')
  assert.equal(second.seen.size, 1)
  assert.equal(first.seen.size, 0)
})
