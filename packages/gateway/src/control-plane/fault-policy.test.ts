import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { FAULT_LIMITS } from '../config/limits.ts'
import type { GatewayLog } from '../observe/log.ts'
import type { ChangeCause, ChangeReport } from '../protocol/control.ts'
import type { BreakerState } from '../protocol/faults.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { ChangeRequest, Reference } from './change.ts'
import type { ChangeEngine } from './change-engine.ts'
import { FaultPolicy } from './fault-policy.ts'
import type { GenerationStore } from './store/generation-store.ts'
import type { Workers } from './workers.ts'

const NAMES = { name: 'auth', plugin: 'auth', version: '2.0.0', key: 'k' }

/** Of a gateway with one instance, whose version came just now. */
function policyOf(t: TestContext, probationMs: number) {
  const asked: ChangeCause['kind'][] = []
  const wanted: (string | undefined)[] = []
  const decided: string[] = []
  const { promise: made, resolve: make } = Promise.withResolvers<void>()
  const request = async ({ cause, runs }: ChangeRequest): Promise<ChangeReport> => {
    asked.push(cause.kind)
    wanted.push(runs)
    await made
    return {} as ChangeReport
  }
  const live = { version: '2.0.0', contentHash: 'two', isLive: true, at: Date.now() }
  const policy = new FaultPolicy({
    engine: { request } as unknown as ChangeEngine,
    workers: {} as Workers,
    store: {
      versionsOf: async () => [live],
      soundVersion: async () => ({ version: '1.0.0', contentHash: 'one' }),
    } as unknown as GenerationStore,
    log: { events: { error: (message: string) => decided.push(message) } } as unknown as GatewayLog,
    onEvent() {},
  })
  t.after(() => policy.close())
  const instance = { ...NAMES, category: 'transform', quarantined: false } as InstancePlan
  const candidate = { plan: { instances: [instance] }, overlay: {} }
  policy.committed({ candidate, settings: { faults: { probationMs } } } as unknown as Reference)
  const breaker = async (worker: number, state: BreakerState): Promise<void> => {
    const { key, name, plugin } = NAMES
    policy.onFault(worker, { kind: 'breaker', key, instance: name, plugin, state, calls: 9, faults: 9 })
    await turn()
  }
  return { policy, asked, wanted, decided, make, breaker }
}

test('FaultPolicy takes a version back once, however many workers have its breaker open', async (t) => {
  const { asked, wanted, decided, make, breaker } = policyOf(t, 60_000)
  for (const worker of [1, 2, 3]) await breaker(worker, 'open')
  assert.deepEqual(asked, ['probation'])
  // What the change needs is not pruned while it waits for its turn.
  assert.deepEqual(wanted, ['one'])
  assert.deepEqual(decided, [
    'Plugin fault: plugin "auth" 2.0.0 is on probation and is taken back to 1.0.0: its breaker opened',
  ])
  make()
  await turn()
  // It serves on, since that change failed or was held.
  await breaker(4, 'open')
  assert.deepEqual(asked, ['probation', 'probation'])
})

test('FaultPolicy makes an instance anew when a probe failed too, not when several workers opened at once', async (t) => {
  const { asked, breaker } = policyOf(t, 0)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  for (const worker of [1, 2, 3]) await breaker(worker, 'open')
  t.mock.timers.tick(FAULT_LIMITS.restartDelayMs)
  assert.deepEqual(asked, [])
  await breaker(2, 'half-open')
  await breaker(2, 'open')
  t.mock.timers.tick(FAULT_LIMITS.restartDelayMs)
  assert.deepEqual(asked, ['restart'])
})

test('FaultPolicy makes nothing anew that has recovered meanwhile', async (t) => {
  const { policy, asked, breaker } = policyOf(t, 0)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  for (const worker of [1, 2])
    for (const state of ['open', 'half-open', 'open'] as const) await breaker(worker, state)
  policy.workerEnded(1)
  await breaker(2, 'closed')
  t.mock.timers.tick(FAULT_LIMITS.restartDelayMsMax)
  assert.deepEqual(asked, [])
})

test('FaultPolicy makes nothing anew whose only open breaker went with its worker', async (t) => {
  const { policy, asked, breaker } = policyOf(t, 0)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  for (const state of ['open', 'half-open', 'open'] as const) await breaker(1, state)
  policy.workerEnded(1)
  t.mock.timers.tick(FAULT_LIMITS.restartDelayMsMax)
  assert.deepEqual(asked, [])
})
