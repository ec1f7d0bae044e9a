import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FaultEvent } from '../protocol/faults.ts'
import type { MasterToSupervisor } from '../protocol/master-supervisor.ts'
import type { WorkerToSupervisor } from '../protocol/supervisor-worker.ts'
import type { ExchangeTrace } from '../protocol/trace.ts'
import { LooseRelay } from './loose-relay.ts'

const failure = { code: 'HOOK_THREW', message: 'oops', plugin: 'a', stack: null, frame: null } as const

const failures = (key: string, count: number): WorkerToSupervisor => ({
  kind: 'fault',
  event: { kind: 'failures', key, instance: 'a', plugin: 'a', count, failure },
})

const trace: WorkerToSupervisor = { kind: 'trace', trace: { id: 'x' } as ExchangeTrace }

function relayTo(supervisor: { isReading: boolean }) {
  const got: MasterToSupervisor[] = []
  const relay = new LooseRelay((message) => {
    if (supervisor.isReading) got.push(message)
    return supervisor.isReading
  })
  return { relay, got }
}

describe('LooseRelay', () => {
  it('passes everything on to a supervisor that reads, and leaves to others what must not be lost', () => {
    const { relay, got } = relayTo({ isReading: true })
    const breaker: FaultEvent = {
      kind: 'breaker',
      key: 'k',
      instance: 'a',
      plugin: 'a',
      state: 'open',
      calls: 9,
      faults: 9,
    }
    assert.equal(relay.relay(1, trace), true)
    assert.equal(relay.relay(1, failures('k', 2)), true)
    assert.equal(relay.relay(1, { kind: 'fault', event: breaker }), false)
    assert.equal(relay.relay(1, { kind: 'staged', id: 1 }), false)
    assert.equal(relay.relay(1, { kind: 'retired', generation: 1 }), false)
    assert.equal(got.length, 2)
  })

  it('keeps only numbers for one that does not, and tells them when it reads again', () => {
    const supervisor = { isReading: false }
    const { relay, got } = relayTo(supervisor)
    for (let i = 0; i < 1_000; i++) {
      relay.relay(1, trace)
      relay.relay(2, failures('k', 2))
      relay.relay(2, failures('l', 1))
    }
    relay.relay(2, { kind: 'skipped', traces: 50 })
    relay.onRoom()
    assert.equal(got.length, 0)
    supervisor.isReading = true
    relay.onRoom()
    assert.deepEqual(got, [
      { kind: 'relay', worker: 2, message: failures('k', 2_000) },
      { kind: 'relay', worker: 2, message: failures('l', 1_000) },
      { kind: 'relay', worker: 2, message: { kind: 'skipped', traces: 1_050 } },
    ])
    relay.onRoom()
    assert.equal(got.length, 3)
  })

  it('tells nobody of traces that were for those before', () => {
    const supervisor = { isReading: false }
    const { relay, got } = relayTo(supervisor)
    relay.relay(1, trace)
    relay.forgetTraces()
    supervisor.isReading = true
    relay.onRoom()
    assert.deepEqual(got, [])
  })
})
