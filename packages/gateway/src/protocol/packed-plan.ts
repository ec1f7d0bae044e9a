import { deserialize, serialize } from 'node:v8'
import { allSteps, type Steps } from '../base/steps.ts'
import type { GenerationPlan } from './generation.ts'
import { type SlimPlan, slimPlan } from './slim-plan.ts'

/**
 * A slim plan as bytes: what passes on a message does not read it. Of routes, upstreams and instances there may be very many:
 * these stand in pieces, so that a worker reads them between the requests that it serves.
 */
export type PackedPlan = Uint8Array

/** About 40 µs to read. Pieces of one cost three times as much. */
const ITEMS_PER_PIECE = 16

const LISTS = ['upstreams', 'routes', 'instances'] as const
type ListName = (typeof LISTS)[number]

interface PlanInPieces {
  readonly rest: Omit<SlimPlan, ListName>
  readonly pieces: Readonly<Record<ListName, readonly Uint8Array[]>>
}

/** Packs plans. As a rule all processes have the same and get the same, so what was packed last is kept for a while. */
export class PlanPacker {
  #last: {
    readonly plan: GenerationPlan
    readonly given: GenerationPlan | null
    readonly packed: PackedPlan
  } | null = null

  /** For a receiver that has `given`; see `slimPlan`. */
  pack(plan: GenerationPlan, given: GenerationPlan | null): PackedPlan {
    if (this.#last?.plan === plan && this.#last.given === given) return this.#last.packed
    const packed = packPlan(slimPlan(plan, given))
    this.#last = { plan, given, packed }
    return packed
  }

  /** The change is over: it has weight, and the secrets of a config. */
  forget(): void {
    this.#last = null
  }
}

export function packPlan({ upstreams, routes, instances, ...rest }: SlimPlan): PackedPlan {
  const pieces = { upstreams: inPieces(upstreams), routes: inPieces(routes), instances: inPieces(instances) }
  return serialize({ rest, pieces } satisfies PlanInPieces)
}

function inPieces(items: readonly unknown[]): Uint8Array[] {
  const count = Math.ceil(items.length / ITEMS_PER_PIECE)
  return Array.from({ length: count }, (_, index) => {
    const start = index * ITEMS_PER_PIECE
    return serialize(items.slice(start, start + ITEMS_PER_PIECE))
  })
}

/** A step for each piece. */
export function* unpackInSteps(packed: PackedPlan): Steps<SlimPlan> {
  const { rest, pieces } = deserialize(packed) as PlanInPieces
  const lists: Record<ListName, unknown[]> = { upstreams: [], routes: [], instances: [] }
  for (const name of LISTS) {
    for (const piece of pieces[name]) {
      lists[name].push(...(deserialize(piece) as unknown[]))
      yield
    }
  }
  return { ...rest, ...lists } as SlimPlan
}

/** For who has nothing else to do meanwhile. */
export function unpackPlan(packed: PackedPlan): SlimPlan {
  return allSteps(unpackInSteps(packed))
}
