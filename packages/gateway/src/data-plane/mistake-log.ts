import type { Log } from '@cardea/sdk'
import { isInstance, messageOf, stackOf } from '../base/errors.ts'
import { RareLines } from './rare-lines.ts'
import type { Sweeper } from './sweeper.ts'

/**
 * Tells of mistakes of ours: whoever finds out how to bring one about can do it with each request. Those of different
 * places in the code are told of apart (see `RareLines`).
 */
export class MistakeLog {
  readonly #lines: RareLines<string>

  constructor(log: Log, sweeper: Sweeper) {
    this.#lines = new RareLines(sweeper, (stack, count) => {
      log.error('An invariant of the gateway did not hold; please report it', {
        code: 'INTERNAL_ERROR',
        stack,
        count,
      })
    })
  }

  note(thrown: unknown): void {
    const stack = isInstance(thrown, Error) ? stackOf(thrown) : messageOf(thrown)
    this.#lines.note(placeOf(stack, messageOf(thrown)), stack)
  }

  /** Tells what is still left to tell. */
  report(): void {
    this.#lines.report()
  }
}

/** The innermost call, '' when it is not known. The message before it may have what a client sent, and so be new each time. */
function placeOf(stack: string, message: string): string {
  const start = stack.indexOf(message)
  const calls = start === -1 ? '' : stack.slice(start + message.length)
  return /^\s+at .+$/m.exec(calls)?.[0].trim() ?? ''
}
