import type { BodyTransform } from '@cardea/sdk'
import { type ErrorCode, GatewayError } from '../../base/errors.ts'
import { NOBODY, runningMark } from '../../base/running-mark.ts'
import type { InstancePlan } from '../../protocol/generation.ts'
import { asBuffer, type Stage } from '../body/stage.ts'
import type { Sweeper, Swept } from '../sweeper.ts'
import type { HookContext } from './context.ts'
import type { ExchangeView, HookFailure } from './exchange-view.ts'
import { barredFailure, HookTimeout, hookFailure, noteHookFailure } from './hook-failure.ts'
import type { PairTransform } from './pair-transform.ts'
import { promiseOf } from './promise-of.ts'

/** A transform failed. Content has passed it already, so its plugin cannot be passed over any more. */
export class TransformError extends GatewayError {
  readonly failure: HookFailure

  constructor(failure: HookFailure, cause: unknown) {
    super(failure.code as ErrorCode, failure.message, { cause, plugin: failure.plugin ?? '' })
    this.failure = failure
  }
}

/** What a plugin passes a body through: its function, or its streams. */
export type Transformer = BodyTransform | PairTransform

/** A plugin's transform as a stage: its faults are its plugin's, and each call has the time that a hook has. */
export class TransformStage implements Stage, Swept {
  sweepIndex = -1
  readonly #transform: BodyTransform
  /** Null: the plugin gave a function. */
  readonly #pair: PairTransform | null
  readonly #exchange: ExchangeView
  readonly #context: HookContext
  readonly #sweeper: Sweeper
  #deadlineMs = 0
  #giveUp: ((error: TransformError) => void) | null = null

  constructor(transformer: Transformer, exchange: ExchangeView, context: HookContext) {
    const isFunction = typeof transformer === 'function'
    this.#transform = isFunction ? transformer : transformer.transform
    this.#pair = isFunction ? null : transformer
    this.#exchange = exchange
    this.#context = context
    this.#sweeper = exchange.sweeper
  }

  push(chunk: Buffer, last: boolean): Buffer | null | Promise<Uint8Array | null> {
    if (this.#context.isQuarantined) throw new TransformError(barredFailure(this.#context.entry), null)
    try {
      runningMark[0] = this.#context.entry.guard.mark
      const made: unknown = this.#transform(ownMemory(chunk), last)
      runningMark[0] = NOBODY
      const promise = promiseOf(made)
      return promise === null ? checked(made) : this.#await(promise)
    } catch (thrown) {
      throw this.#failed(thrown)
    }
  }

  get hasMore(): boolean {
    return this.#pair?.hasMore === true
  }

  listen(onMore: () => void): void {
    this.#pair?.listen(onMore)
  }

  #await(promise: Promise<unknown>): Promise<Uint8Array | null> {
    const { timeoutMs } = this.#context.entry.plan
    this.#deadlineMs = this.#sweeper.clock.nowMs() + timeoutMs
    this.#sweeper.add(this)
    return new Promise((resolve, reject) => {
      this.#giveUp = reject
      promise.then(checked).then(
        (made) => {
          if (this.#settle() !== null) resolve(made)
        },
        (thrown: unknown) => this.#reject(thrown),
      )
    })
  }

  sweep(nowMs: number): void {
    if (nowMs < this.#deadlineMs) return
    const { timeoutMs } = this.#context.entry.plan
    this.#reject(new HookTimeout(this.#pair === null ? 'A transform' : 'A stream', timeoutMs))
  }

  /** Returns what gives up the wait, null when it is over: what was given up settles later, and has failed already. */
  #settle(): ((error: TransformError) => void) | null {
    const giveUp = this.#giveUp
    this.#giveUp = null
    this.#sweeper.remove(this)
    return giveUp
  }

  #reject(thrown: unknown): void {
    const giveUp = this.#settle()
    if (giveUp !== null) giveUp(this.#failed(thrown))
  }

  get calledPlan(): InstancePlan {
    return this.#context.entry.plan
  }

  /** The call of `push` was ended, with all that called it. */
  onEnded(error: GatewayError): void {
    this.#exchange.onTransformEnded(this.#failed(error))
  }

  /** What it waits for may never settle. */
  fail(error: GatewayError): void {
    this.#reject(error)
  }

  /** As `HookWait.holdIf`. */
  holdIf(isBlamed: (key: string) => boolean): boolean {
    if (!isBlamed(this.#context.entry.plan.key)) return false
    this.#deadlineMs = Number.POSITIVE_INFINITY
    return true
  }

  #failed(thrown: unknown): TransformError {
    runningMark[0] = NOBODY
    const what = this.#pair === null ? 'transformBody' : 'stream'
    // That its body does not go on is no fault of the plugin.
    if (this.#pair?.isOver !== true) noteHookFailure(this.#context, what, thrown, this.#exchange)
    return new TransformError(hookFailure(this.#context.entry.plan, what, thrown), thrown)
  }

  abort(): void {
    this.#sweeper.remove(this)
    this.#pair?.abort()
  }
}

/**
 * Small buffers lie side by side in one piece of memory: whoever took `chunk.buffer` for the chunk would read, and send,
 * what belongs to other clients.
 */
function ownMemory(chunk: Buffer): Buffer {
  if (chunk.length === chunk.buffer.byteLength) return chunk
  const own = Buffer.allocUnsafeSlow(chunk.length)
  chunk.copy(own)
  return own
}

/** Throws TypeError when it is called for what is no function, and not when content comes. */
export function checkedTransform(given: BodyTransform): BodyTransform {
  if (typeof given === 'function') return given
  throw new TypeError('transformBody() needs a function from a chunk to a chunk')
}

function checked(made: unknown): Buffer | null {
  return made === null ? null : asBuffer(made as Uint8Array)
}
