import type { ChangeCause, ChangeReport } from '../protocol/control.ts'
import type { ChangeRequest } from './change.ts'

/** A change, and those who wait for what becomes of it. */
export interface Waiting {
  request: ChangeRequest
  readonly callers: ((report: ChangeReport) => void)[]
}

/** The changes that are still to be made. Those of files that follow one another are one. */
export class ChangeQueue {
  readonly #waiting: Waiting[] = []

  get next(): ChangeRequest | null {
    return this.#waiting[0]?.request ?? null
  }

  /** All, the next one first. */
  get waiting(): readonly Waiting[] {
    return this.#waiting
  }

  /** Nobody has asked for anything: all that waits is what was saved. */
  get isOfFiles(): boolean {
    return this.#waiting.every(({ request }) => isOfFiles(request))
  }

  add(request: ChangeRequest, caller: Waiting['callers'][number]): void {
    const last = this.#waiting.at(-1)
    if (last !== undefined && isOfFiles(last.request) && isOfFiles(request)) {
      last.request = merge(last.request, request)
      last.callers.push(caller)
    } else {
      this.#waiting.push({ request, callers: [caller] })
    }
  }

  take(): Waiting | null {
    return this.#waiting.shift() ?? null
  }

  /** It is made anew before all others. */
  putFirst(given: Waiting): void {
    this.#waiting.unshift({ ...given, request: begunNow(given.request) })
  }

  /** What was given up is part of the next change of files, or else comes right after what it gave way to: says what that was. */
  putBack(given: Waiting): 'saved' | 'asked for' {
    const { next } = this
    if (next === null) throw new Error('A change gave way to nothing')
    const saved = this.#waiting.find(({ request }) => isOfFiles(request))
    if (saved === undefined) {
      this.#waiting.splice(1, 0, given)
    } else {
      saved.request = merge(given.request, saved.request)
      saved.callers.unshift(...given.callers)
    }
    return isOfFiles(next) ? 'saved' : 'asked for'
  }
}

/** A look at the files, whatever led to it. Not the start of a gateway that serves nothing: that is what all wait for. */
export function mayGiveWay({ cause: { kind } }: ChangeRequest, live: number): boolean {
  return kind === 'files' || ((kind === 'recovery' || kind === 'start') && live !== 0)
}

export function isOfFiles({ cause }: ChangeRequest): boolean {
  return cause.kind === 'files'
}

function merge(first: ChangeRequest, second: ChangeRequest): ChangeRequest {
  const filesOf = ({ cause }: ChangeRequest): readonly string[] => (cause.kind === 'files' ? cause.files : [])
  const files = [...new Set([...filesOf(first), ...filesOf(second)])]
  return { ...first, cause: { kind: 'files', files } }
}

/** A change that the gateway makes by itself. */
export function gatewayRequest(cause: ChangeCause): ChangeRequest {
  return { cause, who: 'gateway', firstSignAt: performance.now() }
}

/** The same once more: what it took before counts no more. */
export function begunNow(request: ChangeRequest): ChangeRequest {
  return { ...request, firstSignAt: performance.now() }
}
