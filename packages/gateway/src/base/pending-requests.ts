import { randomInt } from 'node:crypto'

/**
 * Requests to another process that wait for their answer. Each has an id and ends exactly once: with the answer, by its
 * timeout, or because the other side is gone.
 */
export class PendingRequests<Answer> {
  readonly #waiting = new Map<number, Waiting<Answer>>()
  /** By chance: an answer to the process that was here before us must not be taken for one to us. */
  #lastId = randomInt(2 ** 47)

  /**
   * `what` names the request in the error: `stage in worker 1`. Rejects with an Error whose sentence begins with it.
   */
  start(what: string, timeoutMs: number): { readonly id: number; readonly answer: Promise<Answer> } {
    this.#lastId += 1
    const id = this.#lastId
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const timer = setTimeout(() => {
      this.#waiting.delete(id)
      reject(new Error(`${what}: no answer within ${timeoutMs} ms`))
    }, timeoutMs)
    this.#waiting.set(id, { what, resolve, reject, timer })
    return { id, answer: promise }
  }

  /** False for an id that nobody waits for: an answer that came after its timeout. */
  settle(id: number, answer: Answer): boolean {
    const waiting = this.#take(id)
    waiting?.resolve(answer)
    return waiting !== undefined
  }

  /** Ends all that wait: the other side is gone. `reason` is the end of a sentence. */
  rejectAll(reason: string): void {
    for (const id of [...this.#waiting.keys()]) {
      const waiting = this.#take(id)
      waiting?.reject(new Error(`${waiting.what}: ${reason}`))
    }
  }

  #take(id: number): Waiting<Answer> | undefined {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return undefined
    this.#waiting.delete(id)
    clearTimeout(waiting.timer)
    return waiting
  }
}

interface Waiting<Answer> {
  readonly what: string
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}
