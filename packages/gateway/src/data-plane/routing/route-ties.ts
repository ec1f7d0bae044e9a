import type { RoutePlan } from '../../protocol/generation.ts'

/**
 * Routes of one host and one path, and which of them are tied: some request matches both, and nothing tells which is the
 * more specific. A file of thousands of routes with one path is looked through without comparing each pair: routes are
 * found by what they must have in common.
 */
export class RouteTies {
  #count = 0
  /** By method ('' for every method) and specificity: others are never tied. */
  readonly #classes = new Map<string, TieClass>()

  /** Adds a route. Returns the positions of the first `max` that were added before and are tied with it. */
  add({ methods, headers }: Pick<RoutePlan, 'methods' | 'headers'>, max: number): readonly number[] {
    const position = this.#count++
    const values = new Map<string, string>()
    const entries = Object.entries(headers)
    for (const [name, value] of entries) if (value !== null) values.set(name, value)
    const found = new Set<number>()
    for (const method of methods.length === 0 ? [''] : new Set(methods)) {
      const key = `${entries.length} ${values.size} ${method}`
      let there = this.#classes.get(key)
      if (there === undefined) {
        there = new TieClass()
        this.#classes.set(key, there)
      }
      for (const tied of there.add(position, values, max)) found.add(tied)
    }
    return [...found].sort((a, b) => a - b).slice(0, max)
  }
}

/** Routes of one method that have as many headers, and as many with values. */
class TieClass {
  /** By the names whose values they ask for, in the order of their first routes. */
  readonly #groups = new Map<string, TieGroup>()

  add(position: number, values: ReadonlyMap<string, string>, max: number): readonly number[] {
    const found: number[] = []
    for (const group of this.#groups.values()) {
      // Groups that follow have nothing earlier than that.
      const last = found[max - 1]
      if (last !== undefined && group.first > last) break
      found.push(...group.tied(values, max))
      found.sort((a, b) => a - b)
    }
    const names = [...values.keys()].sort()
    const key = JSON.stringify(names)
    let own = this.#groups.get(key)
    if (own === undefined) {
      own = new TieGroup(position, names)
      this.#groups.set(key, own)
    }
    own.add(position, values)
    return found.slice(0, max)
  }
}

interface Member {
  readonly position: number
  readonly values: ReadonlyMap<string, string>
}

/** Routes that ask for values of the same names. */
class TieGroup {
  readonly first: number
  readonly #names: readonly string[]
  readonly #members: Member[] = []
  /** By some of the names: positions by the values of those. Each is made when a route is asked for that shares just them. */
  readonly #indexes = new Map<string, { names: readonly string[]; positions: Map<string, number[]> }>()

  constructor(first: number, names: readonly string[]) {
    this.first = first
    this.#names = names
  }

  add(position: number, values: ReadonlyMap<string, string>): void {
    const member = { position, values }
    this.#members.push(member)
    for (const { names, positions } of this.#indexes.values()) index(member, names, positions)
  }

  /** No name that both ask for lets only one of them match. */
  tied(values: ReadonlyMap<string, string>, max: number): readonly number[] {
    const shared = this.#names.filter((name) => values.has(name))
    const key = JSON.stringify(shared)
    let known = this.#indexes.get(key)
    if (known === undefined) {
      known = { names: shared, positions: new Map() }
      for (const member of this.#members) index(member, shared, known.positions)
      this.#indexes.set(key, known)
    }
    return known.positions.get(valuesKey(values, shared))?.slice(0, max) ?? []
  }
}

function index(
  { position, values }: Member,
  names: readonly string[],
  positions: Map<string, number[]>,
): void {
  const key = valuesKey(values, names)
  const there = positions.get(key)
  if (there === undefined) positions.set(key, [position])
  else there.push(position)
}

function valuesKey(values: ReadonlyMap<string, string>, names: readonly string[]): string {
  return JSON.stringify(names.map((name) => values.get(name)))
}
