import { getHeapStatistics } from 'node:v8'
import { type Spread, spread } from '../statistics.ts'

/** Something that is done once per exchange. */
export interface Operation {
  readonly name: string
  /** Returns something that depends on the work, so that none of it can be optimised away. */
  run(): number
}

export interface OperationTiming {
  readonly name: string
  readonly nanoseconds: Spread
  readonly allocatedBytes: number
}

const REPEATS = 5

/** Runs each operation `count` times, 5 times over and in turns, after a warm-up of the same length. */
export function timeOperations(operations: readonly Operation[], count: number): OperationTiming[] {
  for (const operation of operations) runMany(operation, count)
  const runs = operations.map((): { nanoseconds: number; allocatedBytes: number }[] => [])
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    operations.forEach((operation, at) => {
      const allocatedBefore = getHeapStatistics().total_allocated_bytes
      const startedAt = process.hrtime.bigint()
      runMany(operation, count)
      const nanoseconds = Number(process.hrtime.bigint() - startedAt) / count
      const allocatedBytes = (getHeapStatistics().total_allocated_bytes - allocatedBefore) / count
      runs[at]?.push({ nanoseconds, allocatedBytes })
    })
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

function runMany(operation: Operation, count: number): void {
  let checksum = 0
  for (let i = 0; i < count; i++) checksum = (checksum + operation.run()) | 0
  if (checksum === 0) throw new Error(`${operation.name} did nothing.`)
}
