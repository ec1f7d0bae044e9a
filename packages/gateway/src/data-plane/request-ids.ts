import { randomBytes } from 'node:crypto'

/** Request ids, unique per node and across its restarts: a random part for the process, then a count. */
export class RequestIds {
  readonly #prefix: string
  #count = 0

  constructor(workerNumber: number) {
    this.#prefix = `${randomBytes(6).toString('hex')}-${workerNumber.toString(36)}-`
  }

  next(): string {
    return this.#prefix + (++this.#count).toString(36)
  }
}
