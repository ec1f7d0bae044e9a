import type { KeyValueStore, QuotaDecision, QuotaRequest, Sink } from '@cardea/sdk'
import type { InstancePlan } from '../protocol/generation.ts'
import { denied, deniedKv, permitted } from './node-services/node-client.ts'
import { checkTask } from './node-services/once-client.ts'
import { checkName, NO_WISH, wishOf } from './node-services/sink-options.ts'
import type { NodeServices, Opened, ServiceSource } from './services.ts'

/**
 * What a trial has in place of the node's services, and touches nothing. It refuses what was not permitted, the names and options
 * of sinks that they refuse, and what is no task; keys, values and quotas it does not check. A store is empty and forgotten with
 * its instance, quotas admit, lines go nowhere, and tasks never have their turn.
 */
export const SCRATCH_NODE: ServiceSource<NodeServices> = {
  open(plan: InstancePlan): Opened<NodeServices> {
    return {
      services: {
        kv: permitted(plan, 'kv') ? scratchStore() : deniedKv(plan),
        quota: scratchQuota,
        sink: (file, options = {}): Sink => {
          if (!permitted(plan, 'sink')) throw denied(plan, 'sink')
          checkName(file)
          wishOf(options, NO_WISH)
          return { write: () => true, dropped: 0 }
        },
        once: (name, task) => checkTask(name, task),
      },
      release() {},
    }
  },
}

function scratchQuota(request: QuotaRequest): QuotaDecision
function scratchQuota(requests: readonly QuotaRequest[]): readonly QuotaDecision[]
function scratchQuota(
  given: QuotaRequest | readonly QuotaRequest[],
): QuotaDecision | readonly QuotaDecision[] {
  if (Array.isArray(given)) return given.map((request: QuotaRequest) => scratchQuota(request))
  const { burst, cost = 1 } = given as QuotaRequest
  const allowed = cost <= burst
  return {
    allowed,
    remaining: Math.floor(Math.max(0, burst - cost)),
    retryAfterMs: allowed ? 0 : Number.POSITIVE_INFINITY,
    resetMs: 0,
  }
}

function scratchStore(): KeyValueStore {
  const values = new Map<string, unknown>()
  return {
    get: async (key) => structuredClone(values.get(key)),
    async set(key, value) {
      values.set(key, structuredClone(value))
    },
    async delete(key) {
      values.delete(key)
    },
    list: async (prefix = '', limit = 1_000) =>
      [...values.keys()]
        .filter((key) => key.startsWith(prefix))
        .toSorted()
        .slice(0, limit),
  }
}
