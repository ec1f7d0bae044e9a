import { type HostPattern, suffixesOf } from './pattern.ts'

/** Finds of very many patterns those that cover a name, whatever their ports, without a look at each. */
export class HostIndex {
  readonly #exact = new Map<string, number[]>()
  readonly #wildcard = new Map<string, number[]>()

  constructor(patterns: readonly Pick<HostPattern, 'name' | 'wildcard'>[]) {
    for (const [position, { name, wildcard }] of patterns.entries()) {
      const byName = wildcard ? this.#wildcard : this.#exact
      const there = byName.get(name)
      if (there === undefined) byName.set(name, [position])
      else there.push(position)
    }
  }

  /** Their positions, in the order of the patterns. */
  covering(name: string): number[] {
    const found = name === '' ? [] : [...(this.#exact.get(name) ?? [])]
    // The pattern of every host.
    found.push(...(this.#exact.get('') ?? []))
    for (const suffix of suffixesOf(name)) found.push(...(this.#wildcard.get(suffix) ?? []))
    return found.sort((a, b) => a - b)
  }
}
