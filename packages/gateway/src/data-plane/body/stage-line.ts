import { asBuffer, NOTHING, type Stage } from './stage.ts'

/** Where a line of stages leads, and who is told how far it is. */
export interface LineEnd {
  /** What came out waits already: no more of it until `onRoom`. */
  readonly isFull: boolean
  emit(chunk: Buffer, last: boolean): void
  /** A chunk has to wait for the one before it. */
  onBusy(): void
  /** Everything that came is through. */
  onIdle(): void
  /** A stage threw or rejected. */
  onFailed(error: unknown): void
}

/**
 * Stages in a row, and the chunks on their way through them: one chunk after another, each through all stages before the
 * next one is begun. What a stage makes of a chunk piece by piece goes on piece by piece, as far as there is room for it.
 */
export class StageLine {
  readonly #end: LineEnd
  #stages: Stage[] = []
  /** Chunks that came while a stage was busy. */
  readonly #queue: { readonly chunk: Buffer; readonly last: boolean }[] = []
  #busy = false
  /** Counts contents: what an earlier one's stages still settle with is not for the next one. */
  #content = 0
  #onRoom: (() => void) | null = null

  constructor(end: LineEnd) {
    this.#end = end
  }

  get length(): number {
    return this.#stages.length
  }

  /** Differs once `restart` or `stop` was called. */
  get content(): number {
    return this.#content
  }

  add(stage: Stage): void {
    this.#stages.push(stage)
    stage.listen?.(() => this.#onMore())
  }

  // Other stages, or other content.

  /** Forgets the chunks that are on their way. */
  restart(): void {
    this.#content++
    this.#busy = false
    this.#queue.length = 0
    this.#onRoom = null
  }

  /** Nothing comes any more. */
  stop(): void {
    this.restart()
    this.drop(0)
  }

  /** Takes off the stages from `from` on. */
  drop(from: number): void {
    for (const stage of this.#stages.splice(from)) stage.abort()
  }

  /** Takes off the first `count` stages, which may yet be brought back. */
  putAside(count: number): Stage[] {
    return this.#stages.splice(0, count)
  }

  bringBack(stages: readonly Stage[]): void {
    this.#stages = [...stages]
  }

  /** All stages have done their work. */
  clear(): void {
    this.#stages = []
  }

  // Chunks.

  take(chunk: Buffer, last: boolean): void {
    if (this.#busy) {
      this.#queue.push({ chunk, last })
      this.#end.onBusy()
    } else this.#run(0, chunk, last)
  }

  #run(from: number, chunk: Buffer, last: boolean): void {
    try {
      const pending = this.#advance(from, chunk, last)
      if (pending !== null) this.#await(pending)
    } catch (error) {
      this.#end.onFailed(error)
    }
  }

  /** Passes a chunk on from stage `from`; a promise when some stage needs time. */
  #advance(from: number, chunk: Buffer, last: boolean): Promise<void> | null {
    const content = this.#content
    let passed = chunk
    for (let at = from; at < this.#stages.length; at++) {
      const stage = this.#stages[at]
      const made = stage?.push(passed, last) ?? null
      if (made instanceof Promise) {
        return made.then((late) => {
          if (content === this.#content) return this.#handOn(at, late, last) ?? undefined
          return undefined
        })
      }
      if (stage?.hasMore === true) return this.#handOn(at, made, last)
      if (made === null && !last) return null
      passed = asBuffer(made)
    }
    this.#end.emit(passed, last)
    return null
  }

  /** Passes on what stage `at` made. */
  #handOn(at: number, made: Uint8Array | null, last: boolean): Promise<void> | null {
    const stage = this.#stages[at]
    if (stage?.hasMore === true) return this.#handOnPieces(at, stage, made, last)
    if (made === null && !last) return null
    return this.#advance(at + 1, asBuffer(made), last)
  }

  async #handOnPieces(at: number, stage: Stage, first: Uint8Array | null, last: boolean): Promise<void> {
    const content = this.#content
    let made = first
    while (stage.hasMore) {
      if (made !== null) await this.#advance(at + 1, asBuffer(made), false)
      if (this.#end.isFull) await this.#room()
      if (content !== this.#content) return
      made = await stage.push(NOTHING, last)
      if (content !== this.#content) return
    }
    await this.#handOn(at, made, last)
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#onRoom = resolve
    })
  }

  #await(pending: Promise<void>): void {
    const content = this.#content
    this.#busy = true
    pending.then(
      () => {
        if (content !== this.#content) return
        this.#busy = false
        this.#goOn()
      },
      (error: unknown) => {
        if (content === this.#content) this.#end.onFailed(error)
      },
    )
  }

  #goOn(): void {
    const content = this.#content
    while (!this.#busy && content === this.#content) {
      if (this.#askForMore()) continue
      const next = this.#queue.shift()
      if (next === undefined) {
        this.#end.onIdle()
        return
      }
      this.#run(0, next.chunk, next.last)
    }
  }

  /** What a stage made of itself, between two chunks. Returns whether there was any. */
  #askForMore(): boolean {
    if (this.#end.isFull) return false
    for (let at = 0; at < this.#stages.length; at++) {
      if (this.#stages[at]?.hasMore !== true) continue
      this.#run(at, NOTHING, false)
      return true
    }
    return false
  }

  #onMore(): void {
    if (!this.#busy) this.#askForMore()
  }

  /** There is room again. */
  onRoom(): void {
    const goOn = this.#onRoom
    this.#onRoom = null
    if (goOn !== null) goOn()
    else if (!this.#busy) this.#goOn()
  }
}
