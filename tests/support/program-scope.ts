import type { TestScope } from './gateway.ts'

/** What a test's context is to a test, for programs that do the same. */
export class ProgramScope implements TestScope, AsyncDisposable {
  /** Shows what the gateway said when it ends; set once nothing went wrong. */
  passed = false
  readonly #say: (line: string) => void
  readonly #after: (() => unknown)[] = []

  constructor(say: (line: string) => void) {
    this.#say = say
  }

  after(run: () => unknown): void {
    this.#after.push(run)
  }

  diagnostic(text: string): void {
    this.#say(text)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const run of this.#after.reverse()) await run()
  }
}
