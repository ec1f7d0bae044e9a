import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Generation } from './generation.ts'
import type { StartedByConnection } from './http1/connection-host.ts'
import { LiveGenerations } from './live-generations.ts'
import { Sweeper } from './sweeper.ts'
import { VirtualClock } from './testing/virtual-clock.ts'

function bench() {
  const clock = new VirtualClock()
  const expired: string[] = []
  const errors: unknown[] = []
  const exchanges: StartedByConnection[] = []
  const sweeper = new Sweeper(clock, (error) => {
    throw error
  })
  const generations = new LiveGenerations({
    sweeper,
    exchanges: () => exchanges,
    onInternalError: (error) => errors.push(error),
  })
  /** An exchange that only says when it is cut. */
  const run = (id: string, on: Generation, expire = (): void => void expired.push(id)) => {
    exchanges.push({ id, generation: on, expire, describe: () => id } as unknown as StartedByConnection)
  }
  return { clock, generations, expired, errors, run }
}

function generation(number: number, streamDeadlineMs: number): Generation {
  const settings = { changes: { streamDeadlineMs } }
  return { number, settings, exchanges: 0, retire() {} } as unknown as Generation
}

test('sweep() cuts nothing without a stream deadline, whatever an older generation said', async () => {
  const { clock, generations, expired, run } = bench()
  const old = generation(1, 1_000)
  generations.replace(old)
  run('a', old)
  generations.replace(generation(2, 0))
  await clock.advance(1_000_000)
  assert.deepEqual(expired, [])
})

test('sweep() cuts at the deadline, counted from the replacement, once, and only what runs on older generations', async () => {
  const { clock, generations, expired, run } = bench()
  const old = generation(1, 0)
  generations.replace(old)
  run('a', old)
  await clock.advance(60_000)
  const next = generation(2, 5_000)
  generations.replace(next)
  run('b', next)
  await clock.advance(4_900)
  assert.deepEqual(expired, [])
  await clock.advance(200)
  assert.deepEqual(expired, ['a'])
  await clock.advance(60_000)
  assert.deepEqual(expired, ['a'])
})

test('sweep() cuts the others too when one of them throws', async () => {
  const { clock, generations, expired, errors, run } = bench()
  const old = generation(1, 0)
  generations.replace(old)
  const mistake = new Error('a mistake of ours')
  run('a', old, () => {
    throw mistake
  })
  run('b', old)
  generations.replace(generation(2, 1_000))
  await clock.advance(1_100)
  assert.deepEqual([expired, errors], [['b'], [mistake]])
})

test('sweep() cuts nothing while there is no generation', async () => {
  const { clock, generations, expired, run } = bench()
  const old = generation(1, 1_000)
  generations.replace(old)
  run('a', old)
  generations.replace(null)
  await clock.advance(10_000)
  assert.deepEqual(expired, [])
})
