import { NodeKeeper } from '../../packages/gateway/src/control-plane/node-services/node-keeper.ts'
import { NodeClient } from '../../packages/gateway/src/plugin-host/node-services/node-client.ts'
import type { InstancePlan } from '../../packages/gateway/src/protocol/generation.ts'
import type { Operation } from './timing.ts'

/** `host.quota` of one worker with its supervisor in the same process, whose part of the work counts too. */

const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing }
const PLAN = { name: 'limiter', plugin: 'limiter', permissions: [] as string[] } as unknown as InstancePlan
const KEYS = 1_000

export function quotaOperations(): Operation[] {
  const client: NodeClient = new NodeClient({
    workers: 1,
    logs: '/nowhere',
    log: silent,
    send: (request) => queueMicrotask(() => keeper.request(1, request)),
  })
  const keeper = new NodeKeeper({
    directory: null,
    logsDirectory: '/nowhere',
    workers: 1,
    log: silent,
    send: (_, answer) => queueMicrotask(() => client.receive(answer)),
  })
  keeper.workerSpawned(1)
  const { quota } = client.open(PLAN, silent).services
  const keys = Array.from({ length: KEYS }, (_, number) => `2001:db8:${number.toString(16)}`)
  let at = 0
  const operation = (name: string, window: 'sliding' | null): Operation => {
    const request = { key: '', rate: 1e6, burst: 1e9, window }
    return {
      name,
      run() {
        at = (at + 1) % KEYS
        request.key = `${name} ${keys[at]}`
        return quota(request).allowed ? 1 : 0
      },
    }
  }
  return [operation('host.quota, 1,000 keys', null), operation('host.quota, sliding window', 'sliding')]
}

function nothing(): void {}
