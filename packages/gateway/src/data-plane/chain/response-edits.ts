import type { FieldLines } from '../fields.ts'

/**
 * What `handle` hooks do to the fields of a response that is not there yet: recorded, and replayed on whatever comes.
 */
export class ResponseEdits {
  /** kind, name, value, kind, name, value, … */
  readonly #steps: string[] = []

  /** Where the record stands; `truncate` brings it back there. */
  get mark(): number {
    return this.#steps.length
  }

  truncate(mark: number): void {
    this.#steps.length = mark
  }

  set(name: string, value: string): void {
    this.#steps.push('set', name, value)
  }

  append(name: string, value: string): void {
    this.#steps.push('append', name, value)
  }

  delete(name: string): void {
    this.#steps.push('delete', name, '')
  }

  replayOn(fields: FieldLines): void {
    const steps = this.#steps
    for (let i = 0; i < steps.length; i += 3) {
      const name = steps[i + 1] as string
      if (steps[i] === 'set') fields.set(name, steps[i + 2] as string)
      else if (steps[i] === 'append') fields.append(name, steps[i + 2] as string)
      else fields.delete(name)
    }
  }
}
