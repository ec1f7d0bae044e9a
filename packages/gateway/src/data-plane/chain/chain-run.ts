import type { ExchangeError, FinishRecord, PluginTiming } from '@cardea/sdk'
import { GatewayError } from '../../base/errors.ts'
import type { Sweeper, Swept } from '../sweeper.ts'
import type { Chain } from './chain.ts'
import { HookContext, HookTimes, inOrder } from './context.ts'
import { type ChainUser, Phase } from './exchange-view.ts'
import { GuardState } from './guard.ts'
import {
  barredFailure,
  HookTimeout,
  hookFailure,
  isPassedOver,
  mayBePassedOver,
  noteHookFailure,
} from './hook-failure.ts'
import type { Hook, PendingHook } from './pending-hook.ts'
import { promiseOf } from './promise-of.ts'
import type { EditStep } from './response-edits.ts'
import { timingOf } from './timing.ts'

/**
 * The hooks of one chain, run for one exchange. What can be done synchronously is: a promise is only waited for when a
 * hook returned one. A hook that is given up (timeout, abort) is pending no more: what it settles with later changes
 * nothing.
 */
export class ChainRun implements Swept {
  readonly #chain: Chain
  readonly #user: ChainUser
  readonly #sweeper: Sweeper
  /** Of the last plugin entered; the others are before it. */
  #last: HookContext | null = null
  /** The place of the next `handle` in the chain. */
  #next = 0
  #pending: PendingHook | null = null
  #waitingSinceMs = 0
  #waiting = 0
  #mark: EditStep | null = null
  #ended = false
  /** The next of onError or onFinish, going backwards. */
  #cursor: HookContext | null = null
  /** The next onResponse, going backwards; undefined before the first answer. */
  #responseCursor: HookContext | null | undefined

  constructor(chain: Chain, user: ChainUser, sweeper: Sweeper) {
    this.#chain = chain
    this.#user = user
    this.#sweeper = sweeper
  }

  // handle, in order.

  handle(): void {
    const { entries, wantsRecord } = this.#chain
    const user = this.#user
    while (this.#next < entries.length) {
      const entry = entries[this.#next++]
      if (entry === undefined) break
      const context = new HookContext(user, entry, this.#last)
      this.#last = context
      if (wantsRecord) context.times = new HookTimes()
      const { guard } = entry
      if (guard.state !== GuardState.closed && !guard.admit(context, entry.plan.timeoutMs)) {
        if (this.#bar(context)) continue
        return
      }
      this.#mark = user.editMark
      const startMs = wantsRecord ? this.#sweeper.clock.nowMs() : 0
      let result: unknown
      let promise: Promise<unknown> | null
      try {
        result = entry.instance.middleware.handle(context)
        // Nearly every hook of nearly every exchange.
        if (
          result === true &&
          !user.hasAnswer &&
          !wantsRecord &&
          user.phase === Phase.handle &&
          guard.state === GuardState.closed
        ) {
          guard.calls++
          context.outcome = 'passed'
          continue
        }
        promise = promiseOf(result)
      } catch (error) {
        if (!this.#onHandleThrew(context, error)) return
        continue
      }
      if (user.phase !== Phase.handle) {
        // What it asked for broke the request, and that has been answered: nothing it does counts any more.
        promise?.catch(() => {})
        return
      }
      if (promise !== null) {
        this.#await(context, 'handle', promise, startMs)
        return
      }
      if (context.times !== null) context.times.handleMs = this.#sweeper.clock.nowMs() - startMs
      if (!this.#settleHandle(context, result)) return
    }
    if (!this.#ended) this.#user.onHandled()
  }

  /** Lets the failure policy of a plugin that may not be called decide. Returns whether the next hook may run. */
  #bar(context: HookContext): boolean {
    context.outcome = 'barred'
    if (mayBePassedOver(context.entry.plan)) return !this.#ended
    if (!this.#ended) this.#user.onHookFailed(barredFailure(context.entry))
    return false
  }

  /** Returns whether the chain goes on. */
  #settleHandle(context: HookContext, result: unknown): boolean {
    const { answer } = this.#user
    if (result === true && !answer.sent) {
      context.outcome = 'passed'
      context.entry.guard.calls++
      if (!context.wantsResponse) context.entry.guard.onProbed(context)
      answer.status = 0
      answer.content = null
      return !this.#ended
    }
    if (result === false && answer.status !== 0) {
      context.outcome = 'answered'
      context.entry.guard.calls++
      context.entry.guard.onProbed(context)
      this.#user.onAnswered()
      return false
    }
    const how =
      result === true
        ? 'handle returned true after send()'
        : result === false
          ? 'handle returned false without a status'
          : 'handle returned neither true nor false'
    return this.#onHandleThrew(context, new GatewayError('HOOK_RETURN_INVALID', how))
  }

  /** Returns whether the chain goes on. */
  #onHandleThrew(context: HookContext, thrown: unknown): boolean {
    const { plan } = context.entry
    const failure = hookFailure(plan, 'handle', thrown)
    context.entry.guard.calls++
    this.#note(context, 'handle', thrown)
    const { answer, edits } = this.#user
    edits.truncate(this.#mark)
    answer.status = 0
    answer.content = null
    answer.sent = false
    context.transforms = null
    if (isPassedOver(plan, failure)) {
      context.outcome = 'skipped'
      return !this.#ended
    }
    context.outcome = 'failed'
    if (!this.#ended) this.#user.onHookFailed(failure)
    return false
  }

  // onError and onResponse, in reverse, for every plugin whose handle returned true.

  /** Runs onError (when there is an error) and then onResponse; ends with `onResponded`. */
  respond(error: ExchangeError | null): void {
    // A hook that is still running when its exchange goes another way must not change what is answered.
    const pending = this.#pending
    if (pending !== null) {
      const { context } = pending
      this.#giveUp(context)
      context.entry.guard.dropProbe(context)
    }
    if (error !== null && this.#chain.hasErrorHooks) {
      // Whoever has seen a response already is not told that another stands in its place.
      this.#cursor = this.#responseCursor === undefined ? this.#last : this.#responseCursor
      this.#runErrors(error, () => this.#startResponding())
    } else this.#startResponding()
  }

  #startResponding(): void {
    // After a replaced answer only hooks that have not run yet see it.
    if (this.#responseCursor === undefined) this.#responseCursor = this.#last
    this.#runResponses()
  }

  #runErrors(error: ExchangeError, then: () => void): void {
    for (let context = this.#cursor; context !== null; context = this.#cursor) {
      this.#cursor = context.previous
      const { middleware } = context.entry.instance
      if (context.outcome !== 'passed' || context.revoked || middleware.onError === undefined) continue
      if (context.isQuarantined) continue
      try {
        const promise = promiseOf(middleware.onError(context, error))
        if (promise === null) continue
        this.#await(context, 'onError', promise, 0, () => this.#runErrors(error, then))
        return
      } catch (thrown) {
        this.#note(context, 'onError', thrown)
      }
    }
    then()
  }

  #runResponses(): void {
    let context = this.#responseCursor ?? null
    while (context !== null) {
      const { previous }: HookContext = context
      if (context.wantsResponse) {
        this.#responseCursor = previous
        if (!this.#runResponse(context)) return
      }
      context = previous
    }
    this.#responseCursor = null
    if (!this.#ended) this.#user.onResponded()
  }

  /** Returns whether the next hook may run now. */
  #runResponse(context: HookContext): boolean {
    const { middleware } = context.entry.instance
    if (context.isQuarantined) return this.#bar(context)
    const { wantsRecord } = this.#chain
    const startMs = wantsRecord ? this.#sweeper.clock.nowMs() : 0
    try {
      for (const { transform, decode } of context.transforms ?? NO_TRANSFORMS) {
        context.response.transformBody(transform, { decode })
      }
      if (middleware.onResponse === undefined) {
        context.entry.guard.onProbed(context)
        return true
      }
      const promise = promiseOf(middleware.onResponse(context))
      if (promise !== null) {
        this.#await(context, 'onResponse', promise, startMs)
        return false
      }
    } catch (error) {
      return this.#onResponseThrew(context, error)
    }
    if (context.times !== null) context.times.onResponseMs = this.#sweeper.clock.nowMs() - startMs
    context.entry.guard.onProbed(context)
    return !this.#ended
  }

  /** Returns whether the next hook may run now; after a replaced answer `respond` runs the rest. */
  #onResponseThrew(context: HookContext, thrown: unknown): boolean {
    const { plan } = context.entry
    const failure = hookFailure(plan, 'onResponse', thrown)
    this.#note(context, 'onResponse', thrown)
    if (isPassedOver(plan, failure)) return !this.#ended
    context.outcome = 'failed'
    if (!this.#ended) this.#user.onHookFailed(failure)
    return false
  }

  // Promises.

  /** `then`: what goes on when an onError or onFinish has ended. */
  #await(
    context: HookContext,
    hook: Hook,
    promise: Promise<unknown>,
    startMs: number,
    then: (() => void) | null = null,
  ): void {
    const deadlineMs = this.#sweeper.clock.nowMs() + context.entry.plan.timeoutMs
    const pending: PendingHook = { context, hook, deadlineMs, then }
    this.#pending = pending
    this.#sweeper.add(this)
    promise.then(
      (result) => {
        if (this.#pending !== pending) return
        this.#settle(pending, startMs)
        this.#onSettled(pending, result)
      },
      (error: unknown) => {
        if (this.#pending !== pending) return
        this.#settle(pending, startMs)
        this.#onRejected(pending, error)
      },
    )
  }

  #settle({ hook, context: { times } }: PendingHook, startMs: number): void {
    this.#abandonPending()
    if (times === null) return
    const tookMs = this.#sweeper.clock.nowMs() - startMs
    if (hook === 'handle') times.handleMs = tookMs
    else if (hook === 'onResponse') times.onResponseMs = tookMs
  }

  #abandonPending(): void {
    this.#waiting = 0
    if (this.#pending === null) return
    this.#pending = null
    this.#sweeper.remove(this)
  }

  /** The pending hook runs on, but nothing that it does counts any more. */
  #giveUp(context: HookContext): void {
    this.#abandonPending()
    context.revoke()
    this.#user.unshare()
  }

  #onSettled({ context, hook, then }: PendingHook, result: unknown): void {
    if (hook === 'handle') {
      if (this.#settleHandle(context, result)) this.handle()
    } else if (hook === 'onResponse') {
      context.entry.guard.onProbed(context)
      this.#runResponses()
    } else then?.()
  }

  #onRejected({ context, hook, then }: PendingHook, error: unknown): void {
    if (hook === 'handle') {
      if (this.#onHandleThrew(context, error)) this.handle()
    } else if (hook === 'onResponse') {
      if (this.#onResponseThrew(context, error)) this.#runResponses()
    } else {
      this.#note(context, hook, error)
      then?.()
    }
  }

  /** The pending hook waits for bytes of a body: its clock stands meanwhile. */
  onWaiting(waiting: boolean): void {
    if (waiting) {
      if (this.#waiting++ === 0) this.#waitingSinceMs = this.#sweeper.clock.nowMs()
    } else if (this.#waiting > 0 && --this.#waiting === 0) {
      if (this.#pending === null) return
      this.#pending.deadlineMs += this.#sweeper.clock.nowMs() - this.#waitingSinceMs
    }
  }

  sweep(nowMs: number): void {
    const pending = this.#pending
    if (pending === null || this.#waiting > 0 || nowMs < pending.deadlineMs) return
    const { context, hook } = pending
    this.#giveUp(context)
    this.#onRejected(pending, new HookTimeout(hook, context.entry.plan.timeoutMs))
  }

  // The end.

  /** The exchange is over before its hooks were: whatever is pending is forgotten. */
  abandon(): void {
    this.#ended = true
    this.#abandonPending()
    for (const context of inOrder(this.#last)) {
      context.abort()
      context.entry.guard.dropProbe(context)
    }
  }

  /** Runs onError only, for an exchange whose client is gone or whose response has been cut. Then `done`. */
  reportError(error: ExchangeError, done: () => void): void {
    this.abandon()
    this.#cursor = this.#chain.hasErrorHooks ? this.#last : null
    this.#runErrors(error, done)
  }

  timings(): PluginTiming[] {
    return inOrder(this.#last).map(timingOf)
  }

  /** Runs onFinish for every plugin entered, then revokes their contexts; ends with `onFinished`. */
  finish(record: FinishRecord | null): void {
    this.#ended = true
    this.#abandonPending()
    this.#cursor = record === null ? null : this.#last
    this.#runFinishes(record)
  }

  #runFinishes(record: FinishRecord | null): void {
    for (let context = this.#cursor; record !== null && context !== null; context = this.#cursor) {
      this.#cursor = context.previous
      const { middleware } = context.entry.instance
      if (middleware.onFinish === undefined) continue
      if (context.outcome === 'barred' || context.isQuarantined) continue
      try {
        const promise = promiseOf(middleware.onFinish(context, record))
        if (promise === null) continue
        this.#await(context, 'onFinish', promise, 0, () => this.#runFinishes(record))
        return
      } catch (error) {
        this.#note(context, 'onFinish', error)
      }
    }
    for (let context = this.#last; context !== null; context = context.previous) context.revoke()
    this.#user.onFinished()
  }

  #note(context: HookContext, hook: Hook, thrown: unknown): void {
    noteHookFailure(context, hook, thrown, this.#user)
  }
}

const NO_TRANSFORMS: NonNullable<HookContext['transforms']> = []
