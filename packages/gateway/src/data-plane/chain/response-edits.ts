import type { FieldLines } from '../fields.ts'

export interface EditStep {
  readonly kind: 'set' | 'append' | 'delete'
  readonly name: string
  readonly value: string
  next: EditStep | null
}

/**
 * What `handle` hooks do to the fields of a response that is not there yet: recorded, and replayed on whatever comes. A
 * linked list: an array that grows is copied, and most hooks take a step or two.
 */
export class ResponseEdits {
  #first: EditStep | null = null
  /** Where the record stands; `truncate` brings it back there. */
  mark: EditStep | null = null

  truncate(mark: EditStep | null): void {
    this.mark = mark
    if (mark === null) this.#first = null
    else mark.next = null
  }

  set(name: string, value: string): void {
    this.#add({ kind: 'set', name, value, next: null })
  }

  append(name: string, value: string): void {
    this.#add({ kind: 'append', name, value, next: null })
  }

  delete(name: string): void {
    this.#add({ kind: 'delete', name, value: '', next: null })
  }

  #add(step: EditStep): void {
    if (this.mark === null) this.#first = step
    else this.mark.next = step
    this.mark = step
  }

  /** Of all fields that steps so far set, append or delete. */
  names(): string[] {
    const names: string[] = []
    for (let step = this.#first; step !== null; step = step.next) names.push(step.name)
    return names
  }

  replayOn(fields: FieldLines): void {
    for (let step = this.#first; step !== null; step = step.next) {
      if (step.kind === 'set') fields.set(step.name, step.value)
      else if (step.kind === 'append') fields.append(step.name, step.value)
      else fields.delete(step.name)
    }
  }
}
