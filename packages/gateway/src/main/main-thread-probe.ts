import { type Debugger, Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'

/** A call on the main thread's stack, the innermost first. */
export interface ProbedFrame {
  readonly functionName: string
  /** Absolute path, or `node:…`; '' for what has none. */
  readonly path: string
  /** From 1. */
  readonly line: number
  readonly column: number
  /** What `this` is there, for `call`; null for none. */
  readonly receiver: string | null
}

export type ProbeArgument = { readonly value: unknown } | { readonly objectId: string }

/**
 * For a thread beside the main one: stops the main thread wherever it is, looks at its stack, calls a function of it, and
 * lets it go on or ends what it runs. Nothing is opened before somebody asks, and nothing stays open: a debugger that is
 * enabled slows all code down. Opening takes 20 to 70 ms (*measured*), most of it to tell what scripts there are.
 *
 * A stopped main thread goes on when this is disposed, or when its thread ends.
 */
export class MainThreadProbe implements Disposable {
  readonly #session = new Session()
  readonly #paths = new Map<string, string>()
  #isDisposed = false
  #onPaused: ((frames: readonly ProbedFrame[]) => void) | null = null

  constructor() {
    this.#session.connectToMainThread()
    this.#session.on('Debugger.scriptParsed', ({ params }) => {
      this.#paths.set(params.scriptId, pathOf(params.url))
    })
    this.#session.on('Debugger.paused', ({ params }) => {
      const onPaused = this.#onPaused
      this.#onPaused = null
      // A `debugger` statement in a plugin.
      if (onPaused === null) this.resume()
      else onPaused(params.callFrames.map((frame) => this.#frame(frame)))
    })
    this.#session.post('Debugger.enable')
  }

  /** Stops the main thread. Resolves with where it stands; never, when it is in a native call that does not return. */
  pause(): Promise<readonly ProbedFrame[]> {
    return this.#stop('Debugger.pause')
  }

  /**
   * Lets the stopped main thread enter the next function, or return from the one it is in, and stops it there. Where a
   * microtask runs another for ever, `pause` may find it between two of them, time and again; this ends up in the next.
   */
  step(): Promise<readonly ProbedFrame[]> {
    return this.#stop('Debugger.stepInto')
  }

  #stop(method: 'Debugger.pause' | 'Debugger.stepInto'): Promise<readonly ProbedFrame[]> {
    const { promise, resolve } = Promise.withResolvers<readonly ProbedFrame[]>()
    this.#onPaused = resolve
    this.#session.post(method)
    return promise
  }

  /**
   * Calls what `expression` says, a function of the stopped main thread. Rejects with what it threw; its result is not
   * brought over.
   */
  async call(expression: string, values: readonly ProbeArgument[]): Promise<void> {
    const { result, exceptionDetails: isMissing } = await this.#post('Runtime.evaluate', { expression })
    if (isMissing !== undefined || result?.objectId === undefined)
      throw new Error(`There is no ${expression}`)
    const { exceptionDetails } = await this.#post('Runtime.callFunctionOn', {
      objectId: result.objectId,
      functionDeclaration: 'function (...values) { this(...values) }',
      arguments: [...values],
      silent: true,
    })
    if (exceptionDetails === undefined) return
    const { exception, text } = exceptionDetails
    throw new Error(exception?.description ?? text)
  }

  resume(): void {
    this.#session.post('Debugger.resume')
  }

  /**
   * Lets the stopped main thread go on with its next event: whatever it runs ends here, without catch or finally. The
   * probe is of no use afterwards, and disposed of: a process that ends meanwhile would wait for it.
   */
  async endRunning(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#session.post('Debugger.resume', { terminateOnResume: true }, () => resolve())
    await promise
    this[Symbol.dispose]()
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return
    this.#isDisposed = true
    this.#session.post('Debugger.disable')
    this.#session.disconnect()
  }

  #frame({ functionName, location, this: receiver }: Debugger.CallFrame): ProbedFrame {
    const { scriptId, lineNumber, columnNumber = 0 } = location
    return {
      functionName,
      path: this.#paths.get(scriptId) ?? '',
      line: lineNumber + 1,
      column: columnNumber + 1,
      receiver: receiver.objectId ?? null,
    }
  }

  #post(
    method: 'Runtime.evaluate' | 'Runtime.callFunctionOn',
    parameters: object,
  ): Promise<{
    result?: { objectId?: string }
    exceptionDetails?: { text: string; exception?: { description?: string } }
  }> {
    const { promise, resolve, reject } = Promise.withResolvers<object>()
    this.#session.post(method, parameters, (error, result) => {
      if (error === null) resolve(result as object)
      else reject(error)
    })
    return promise
  }
}

/** The inspector makes URLs of the absolute paths that scripts are named by. */
function pathOf(url: string): string {
  if (!url.startsWith('file:')) return url
  try {
    return fileURLToPath(url)
  } catch {
    return url
  }
}
