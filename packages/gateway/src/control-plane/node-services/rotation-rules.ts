import { SINK_LIMITS } from '../../config/limits.ts'
import type { SinkWish } from '../../protocol/node-services.ts'

/** How a file is rotated. */
export interface RotationRules {
  /** 0: not by size. */
  readonly bytesMax: number
  /** Milliseconds of Unix time that one file spans; 0: not by time. */
  readonly periodMs: number
  /** Rotated files that are kept. */
  readonly keep: number
}

/** What loses the fewest lines of what is wanted: never before the largest, and the most files. */
export function rulesOf(wishes: readonly SinkWish[]): RotationRules {
  return {
    bytesMax: seldomest(valuesOf(wishes, 'bytesMax')) ?? SINK_LIMITS.rotateBytesDefault,
    periodMs: seldomest(valuesOf(wishes, 'periodMs')) ?? 0,
    keep: valuesOf(wishes, 'keep').at(-1) ?? SINK_LIMITS.keepDefault,
  }
}

/** Which values of one wish are not those of another; null where all agree. */
export function disagreementOf(wishes: readonly SinkWish[]): string | null {
  const parts = [
    listOf('size', valuesOf(wishes, 'bytesMax'), (bytes) => (bytes === 0 ? 'never' : `${bytes} bytes`)),
    listOf('period', valuesOf(wishes, 'periodMs'), (ms) => (ms === 0 ? 'never' : `${ms} ms`)),
    listOf('keep', valuesOf(wishes, 'keep'), String),
  ]
  return parts.filter((part) => part !== '').join(', ') || null
}

/** Each once, the smallest first. */
function valuesOf(wishes: readonly SinkWish[], name: keyof SinkWish): number[] {
  const values = new Set(wishes.map((wish) => wish[name]).filter((value) => value !== null))
  return [...values].toSorted((a, b) => a - b)
}

/** 0 is never. */
function seldomest(values: readonly number[]): number | undefined {
  return values[0] === 0 ? 0 : values.at(-1)
}

function listOf(name: string, values: readonly number[], textOf: (value: number) => string): string {
  return values.length < 2 ? '' : `${name} ${values.map(textOf).join(' or ')}`
}
