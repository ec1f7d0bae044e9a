import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BreakerState, FaultEvent } from '../protocol/faults.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import { StandingFaults } from './standing-faults.ts'

const stall = (key: string): FaultEvent => {
  return { kind: 'stall', key, instance: key, plugin: key, stalledMs: 500, frames: [], frame: null }
}

const breaker = (key: string, state: BreakerState): FaultEvent => {
  return { kind: 'breaker', key, instance: key, plugin: key, state, calls: 1, faults: 1 }
}

/** Of instances with these keys; those with a `!` are quarantined. */
function planOf(...keys: readonly string[]): GenerationPlan {
  const instances = keys.map((key) => {
    return { key: key.replace('!', ''), quarantined: key.endsWith('!') }
  })
  return { instances } as unknown as GenerationPlan
}

const quarantined = ({ instances }: GenerationPlan): string[] =>
  instances.flatMap(({ key, quarantined: isOut }) => (isOut ? [key] : []))

const shown = (faults: StandingFaults): string[] =>
  faults.all.map(({ worker, event }) => `${worker} ${event.kind} ${event.key}`)

describe('StandingFaults', () => {
  it('spares workers that start what blocked another, until it is quarantined for all', () => {
    const faults = new StandingFaults()
    const plan = planOf('a', 'b')
    assert.equal(faults.spared(plan), plan)
    faults.note(1, stall('a'))
    assert.deepEqual(quarantined(faults.spared(plan)), ['a'])
    assert.deepEqual(quarantined(plan), [])
    // Another change comes first.
    faults.committed(planOf('a', 'b', 'c'))
    assert.deepEqual(quarantined(faults.spared(plan)), ['a'])
    faults.committed(planOf('a!', 'b'))
    assert.deepEqual(faults.all, [])
  })

  it('spares them too what threw where nobody catches it', () => {
    const faults = new StandingFaults()
    const failure = {
      code: 'PLUGIN_UNCAUGHT',
      message: 'broken',
      plugin: 'a',
      stack: null,
      frame: null,
    } as const
    faults.note(1, { kind: 'uncaught', key: 'a', instance: 'a', plugin: 'a', failure })
    faults.workerEnded(1)
    assert.deepEqual(quarantined(faults.spared(planOf('a', 'b'))), ['a'])
  })

  it("keeps no harm of what is quarantined for all: lifting that is somebody's word", () => {
    const faults = new StandingFaults()
    faults.committed(planOf('a!', 'b'))
    faults.note(2, stall('a'))
    assert.deepEqual(faults.all, [])
    faults.committed(planOf('a', 'b'))
    faults.note(2, stall('a'))
    assert.deepEqual(shown(faults), ['2 stall a'])
  })

  it('keeps a stall when its worker has ended, and a breaker as long as its worker lives', () => {
    const faults = new StandingFaults()
    faults.note(1, stall('a'))
    faults.note(1, breaker('b', 'open'))
    faults.note(2, breaker('b', 'open'))
    faults.workerEnded(1)
    assert.deepEqual(shown(faults), ['1 stall a', '2 breaker b'])
  })

  it('keeps the last state of a breaker, and none that is closed or of an instance that is gone', () => {
    const faults = new StandingFaults()
    faults.note(1, breaker('a', 'open'))
    faults.note(1, breaker('a', 'half-open'))
    faults.note(1, breaker('b', 'open'))
    faults.note(1, breaker('c', 'open'))
    faults.note(1, breaker('c', 'closed'))
    assert.deepEqual(faults.all, [
      { worker: 1, event: breaker('a', 'half-open') },
      { worker: 1, event: breaker('b', 'open') },
    ])
    faults.committed(planOf('a'))
    assert.deepEqual(shown(faults), ['1 breaker a'])
  })

  it('keeps no failures: they are counted, and lost with whoever counts', () => {
    const faults = new StandingFaults()
    const failure = {
      code: 'HOOK_TIMEOUT',
      message: 'broken',
      plugin: 'a',
      stack: null,
      frame: null,
    } as const
    faults.note(1, { kind: 'failures', key: 'a', instance: 'a', plugin: 'a', count: 3, failure })
    assert.deepEqual(faults.all, [])
  })
})
