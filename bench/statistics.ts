/** Order statistics of a few repeats. Means would let one disturbed repeat move the result. */

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Throws on an empty list: a median of nothing would be a made-up number. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const min = sorted[0]
  const max = sorted.at(-1)
  const upper = sorted[sorted.length >> 1]
  const lower = sorted[(sorted.length - 1) >> 1]
  if (min === undefined || max === undefined || lower === undefined || upper === undefined) {
    throw new Error('There are no values to take a median of.')
  }
  return { median: (lower + upper) / 2, min, max }
}

/** The value that this share (0 to 1) of all is at or below. Throws on an empty list. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const found = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]
  if (found === undefined) throw new Error('There are no values to take a percentile of.')
  return found
}

/** `items` turned so that another one comes first in every round: no peer always runs after the same neighbour. */
export function rotate<Item>(items: readonly Item[], round: number): Item[] {
  const start = items.length === 0 ? 0 : round % items.length
  return [...items.slice(start), ...items.slice(0, start)]
}
