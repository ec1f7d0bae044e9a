/** Goes round the values of a map, a few at a time, whatever is added or deleted meanwhile. */
export class Rounds<Value> {
  readonly #map: ReadonlyMap<unknown, Value>
  #cursor: MapIterator<Value>

  constructor(map: ReadonlyMap<unknown, Value>) {
    this.#map = map
    this.#cursor = map.values()
  }

  /** Looks at the next so many; at none twice, unless it was deleted and added again. */
  go(count: number, look: (value: Value) => void): void {
    for (let left = Math.min(count, this.#map.size); left > 0; left -= 1) {
      const next = this.#cursor.next()
      if (next.done) this.#cursor = this.#map.values()
      else look(next.value)
    }
  }
}
