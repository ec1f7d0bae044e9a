import type { NodeAnswer, NodeRequest } from '../../protocol/node-services.ts'

interface Task {
  readonly plugin: string
  readonly name: string
  holder: number | null
  /** Who would run it, first come first, and the claim by which they said so. */
  readonly waiting: Map<number, number>
}

/** Which worker runs which task. Times play no part: a lease ends with its holder. */
export class OnceKeeper {
  readonly #send: (worker: number, answer: NodeAnswer) => void
  readonly #tasks = new Map<string, Task>()
  #isSettled = false

  constructor(send: (worker: number, answer: NodeAnswer) => void) {
    this.#send = send
  }

  claim({ plugin, task: name, claim, held }: NodeRequest & { kind: 'once-claim' }, worker: number): void {
    const task = this.#taskOf(plugin, name)
    if (held && task.holder === null) {
      task.holder = worker
      task.waiting.delete(worker)
    }
    if (task.holder === worker) {
      this.#grant(task, worker, claim)
      return
    }
    task.waiting.set(worker, claim)
    // Whoever held it under a former supervisor must say so first.
    if (task.holder === null && this.#isSettled) this.#passOn(task)
    else if (task.holder !== null) this.#send(worker, { kind: 'once-denied', plugin, task: name, claim })
  }

  release({ plugin, task: name }: NodeRequest & { kind: 'once-release' }, worker: number): void {
    const task = this.#tasks.get(keyOf(plugin, name))
    if (task !== undefined) this.#leave(task, worker)
  }

  workerEnded(worker: number): void {
    for (const task of this.#tasks.values()) this.#leave(task, worker)
  }

  /** The process goes on under another number. */
  workerRetiring(worker: number, as: number): void {
    for (const task of this.#tasks.values()) {
      const claim = task.waiting.get(worker)
      if (claim !== undefined) {
        task.waiting.delete(worker)
        task.waiting.set(as, claim)
      }
      if (task.holder === worker) task.holder = as
    }
  }

  /** All workers have said what they run. */
  settle(): void {
    this.#isSettled = true
    for (const task of this.#tasks.values()) if (task.holder === null) this.#passOn(task)
  }

  #taskOf(plugin: string, name: string): Task {
    const key = keyOf(plugin, name)
    let task = this.#tasks.get(key)
    if (task === undefined) {
      task = { plugin, name, holder: null, waiting: new Map() }
      this.#tasks.set(key, task)
    }
    return task
  }

  #leave(task: Task, worker: number): void {
    task.waiting.delete(worker)
    if (task.holder === worker) {
      task.holder = null
      if (this.#isSettled) this.#passOn(task)
    }
    if (task.holder === null && task.waiting.size === 0) this.#tasks.delete(keyOf(task.plugin, task.name))
  }

  #passOn(task: Task): void {
    const [next] = task.waiting
    if (next === undefined) return
    const [worker, claim] = next
    task.waiting.delete(worker)
    task.holder = worker
    this.#grant(task, worker, claim)
  }

  #grant({ plugin, name }: Task, worker: number, claim: number): void {
    this.#send(worker, { kind: 'once-granted', plugin, task: name, claim })
  }
}

function keyOf(plugin: string, task: string): string {
  // No plugin's name has a slash.
  return `${plugin}/${task}`
}
