import { secretParametersOf } from '@cardea/sdk'
import { type ErrorCode, GatewayError, messageOf } from '../base/errors.ts'
import { problemAnswer } from './answer.ts'
import { Phase } from './chain/exchange-view.ts'
import { TransformError } from './chain/transform-stage.ts'
import { exchangeErrorOf, RequestSide } from './exchange-request.ts'
import type { FieldLines } from './fields.ts'

/**
 * The ways out of the story: `endResponse` after the last byte, `fail` with an answer in the response's place, `cut` when
 * the head has left or the client is gone; all lead to `finish`.
 */
export abstract class ExchangeEnd extends RequestSide {
  aborted = false
  responseBytes = 0
  statusSent = 0
  protected inUpstreamCall = false
  protected ended = false
  /** The client has the whole response, or is given its end right now. */
  #complete = false
  /** The response will not be completed: only onError and onFinish are left. */
  #cutting = false
  /** The target whose response was cut. */
  #target: string | null = null
  /** Nothing of it is left. */
  #over = false

  endResponse(trailers: FieldLines | null): void {
    if (this.ended) return
    this.#complete = true
    this.client.sendEnd(trailers === null ? null : this.responseTrailersToSend(trailers))
    this.finish()
  }

  protected fail(error: GatewayError): void {
    if (this.ended || this.#cutting) return
    if (this.phase === Phase.sent) {
      this.cut(error)
      return
    }
    this.responseFlow?.abort(error)
    this.error = exchangeErrorOf(error)
    // What an upstream said goes to the log; the client learns the kind of trouble.
    const detail = error.source === 'client' ? error.message : null
    this.answerWith(problemAnswer(error.code, detail, this.id), this.error)
  }

  expire(code: ErrorCode): void {
    this.fail(new GatewayError(code))
  }

  breakOff(code: ErrorCode): void {
    if (!this.ended) this.cut(new GatewayError(code))
  }

  onBodyFailed(error: unknown): void {
    if (error instanceof TransformError && this.phase !== Phase.sent) {
      this.onHookFailed(error.failure)
      return
    }
    const failure =
      error instanceof GatewayError
        ? error
        : new GatewayError('HOOK_THREW', messageOf(error), { cause: error })
    // What a plugin's code threw is in the log already.
    if (!(error instanceof TransformError)) this.owner.logFault(failure, this)
    this.fail(failure)
  }

  /** Ends an exchange whose response cannot be completed. */
  protected cut(error: GatewayError): void {
    if (this.#cutting) return
    this.#cutting = true
    this.error = exchangeErrorOf(error)
    // An onError may take its time; nothing more must come of either side meanwhile.
    this.#target = this.leg?.target ?? null
    this.dropLeg()
    this.#abandonFlows()
    if (this.run === null) this.finish()
    else this.run.reportError(this.error, () => this.finish())
    if (!this.aborted) this.client.reset()
  }

  protected dropLeg(): void {
    const { leg } = this
    this.leg = null
    leg?.cancel()
  }

  protected finish(): void {
    if (this.ended) return
    this.ended = true
    if (this.pending) this.owner.pendingRequests--
    this.pending = false
    this.#abandonFlows()
    const target = this.leg?.target ?? this.#target
    this.dropLeg()
    const record = this.meter?.record(this, target, this.run?.entered.timings ?? []) ?? null
    if (record !== null && this.owner.tracing) this.owner.onTrace(record, secretParametersOf(this))
    if (this.run === null) this.onFinished()
    else this.run.finish(record)
  }

  /** Whoever still waits for bytes of a body learns that none will come. */
  #abandonFlows(): void {
    if (this.requestFlow === null && this.responseFlow === null) return
    const over = new GatewayError('CLIENT_ABORTED', 'The exchange is over')
    this.requestFlow?.abort(over)
    this.responseFlow?.abort(over)
  }

  onFinished(): void {
    if (this.#over) return
    this.#over = true
    this.owner.onExchangeEnded(this)
    this.generation.unpin()
  }

  // What was ended together with a plugin that blocked (see broken-off.ts): what was left to do is done here.

  /** A hook of the chain never returned. */
  onHookEnded(error: GatewayError): void {
    if (this.#over) return
    this.inUpstreamCall = false
    if (this.#cutting && !this.aborted) this.client.reset()
    this.run?.onHookEnded(error)
  }

  onTransformEnded(error: GatewayError): void {
    this.requestFlow?.abort(error)
    this.responseFlow?.abort(error)
    this.onBodyFailed(error)
  }

  /** Something of it was not done to its end. One that cannot go on then is ended by `error`. */
  onBrokenOff(error: GatewayError): void {
    this.inUpstreamCall = false
    if (this.#over) return
    if (this.#cutting && !this.aborted) this.client.reset()
    // It goes on by itself when the hook that is waited for settles.
    if (this.run?.isWaiting === true) return
    if (this.ended) this.#finishAgain()
    else if (this.#cutting) this.#reportAgain()
    else if (this.#complete) this.finish()
    else this.fail(error)
  }

  /** Something of ours threw where nobody waits for its end: this exchange pays. */
  onMistake(thrown: unknown): void {
    const error = new GatewayError('INTERNAL_ERROR', messageOf(thrown), { cause: thrown })
    this.owner.logFault(error, this)
    try {
      this.onBrokenOff(error)
    } catch {
      // It is in no state to be ended in good order.
      this.client.reset()
    }
  }

  #finishAgain(): void {
    if (this.run === null) this.onFinished()
    else this.run.runFinishes()
  }

  #reportAgain(): void {
    if (this.run === null || this.error === null) this.finish()
    else this.run.reportError(this.error, () => this.finish())
  }
}
