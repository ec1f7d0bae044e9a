import { getHeapStatistics } from 'node:v8'
import { type Spread, spread } from '../statistics.ts'

/** Something that is done once per exchange. */
export interface Timed {
  readonly name: string
  /** Returns something that depends on the work, so that none of it can be optimised away. */
  run(): number | Promise<number>
}

export interface Operation extends Timed {
  run(): number
}

/** It needs turns of microtasks. */
export interface AsyncOperation extends Timed {
  run(): Promise<number>
}

export interface OperationTiming {
  readonly name: string
  readonly nanoseconds: Spread
  readonly allocatedBytes: number
}

const REPEATS = 5

/** Runs each operation `count` times, 5 times over and in turns, after a warm-up of the same length. */
export async function timeOperations(
  operations: readonly Timed[],
  count: number,
): Promise<OperationTiming[]> {
  for (const operation of operations) await runMany(operation, count)
  const runs = operations.map((): { nanoseconds: number; allocatedBytes: number }[] => [])
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    for (const [at, operation] of operations.entries()) {
      const allocatedBefore = getHeapStatistics().total_allocated_bytes
      const startedAt = process.hrtime.bigint()
      await runMany(operation, count)
      const nanoseconds = Number(process.hrtime.bigint() - startedAt) / count
      const allocatedBytes = (getHeapStatistics().total_allocated_bytes - allocatedBefore) / count
      runs[at]?.push({ nanoseconds, allocatedBytes })
    }
  }
  return operations.map(({ name }, at) => {
    const own = runs[at] ?? []
    return {
      name,
      nanoseconds: spread(own.map(({ nanoseconds }) => nanoseconds)),
      allocatedBytes: spread(own.map(({ allocatedBytes }) => allocatedBytes)).median,
    }
  })
}

async function runMany(operation: Timed, count: number): Promise<void> {
  let checksum = 0
  for (let i = 0; i < count; i++) {
    const done = operation.run()
    checksum = (checksum + (typeof done === 'number' ? done : await done)) | 0
  }
  if (checksum === 0) throw new Error(`${operation.name} did nothing.`)
}
