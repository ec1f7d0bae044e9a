import type { GatewayError } from '../../base/errors.ts'
import type { Sweeper, Swept } from '../sweeper.ts'
import type { HookContext } from './context.ts'
import type { EnteredPlugins } from './entered-plugins.ts'
import type { ChainUser } from './exchange-view.ts'
import { HookTimeout } from './hook-failure.ts'

export type Hook = 'handle' | 'onResponse' | 'onError' | 'onFinish'

/** A hook that returned a promise. */
interface PendingHook {
  readonly context: HookContext
  readonly hook: Hook
  /** By the sweeper's clock, without what the hook has waited for bytes of a body. */
  deadlineMs: number
}

/** Whose hooks are waited for. */
export interface WaitingRun {
  onSettled(context: HookContext, hook: Hook, result: unknown): void
  onRejected(context: HookContext, hook: Hook, error: unknown): void
}

/**
 * Waits for promises of the hooks of a chain's run, one at a time. A hook that is given up (timeout, abort) is
 * pending no more: what it settles with later changes nothing.
 */
export class HookWait implements Swept {
  sweepIndex = -1
  readonly #run: WaitingRun
  readonly #entered: EnteredPlugins
  readonly #user: ChainUser
  readonly #sweeper: Sweeper
  #pending: PendingHook | null = null

  constructor(run: WaitingRun, entered: EnteredPlugins, user: ChainUser, sweeper: Sweeper) {
    this.#run = run
    this.#entered = entered
    this.#user = user
    this.#sweeper = sweeper
  }

  /** Of a hook that has returned a promise that has not settled. */
  get pendingContext(): HookContext | null {
    return this.#pending?.context ?? null
  }

  /** Waits for what `hook` returned, as long as its instance may take. */
  await(context: HookContext, hook: Hook, promise: Promise<unknown>, startMs: number): void {
    const deadlineMs = this.#sweeper.clock.nowMs() + context.entry.plan.timeoutMs
    const pending: PendingHook = { context, hook, deadlineMs }
    this.#pending = pending
    this.#sweeper.add(this)
    promise.then(
      (result) => {
        if (this.#pending !== pending) return
        this.#settle(pending, startMs)
        this.#goOn(() => this.#run.onSettled(context, hook, result))
      },
      (error: unknown) => {
        if (this.#pending !== pending) return
        this.#settle(pending, startMs)
        this.#goOn(() => this.#run.onRejected(context, hook, error))
      },
    )
  }

  /** What a mistake of ours throws there would go to nobody but the log, and the exchange would wait for ever. */
  #goOn(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#user.onMistake(error)
    }
  }

  #settle({ hook, context: { times } }: PendingHook, startMs: number): void {
    this.abandonPending()
    if (times === null) return
    const tookMs = this.#sweeper.clock.nowMs() - startMs
    if (hook === 'handle') times.handleMs = tookMs
    else if (hook === 'onResponse') times.onResponseMs = tookMs
  }

  abandonPending(): void {
    if (this.#pending === null) return
    this.#pending = null
    this.#sweeper.remove(this)
  }

  /** The pending hook had its time. It runs on, but nothing that it does counts any more. Returns its plugin's new context. */
  #giveUp(context: HookContext): HookContext {
    this.abandonPending()
    const renewed = this.#entered.renew(context)
    // Before listeners of its signal run.
    this.#user.unshare()
    context.revoke()
    return renewed
  }

  sweep(nowMs: number): void {
    const pending = this.#pending
    if (pending === null || nowMs < pending.deadlineMs) return
    const { context, hook, deadlineMs } = pending
    const wait = context.bodyWaitOf(hook)
    if (wait !== null && (wait.isOn || nowMs < deadlineMs + wait.endedMs)) return
    this.#run.onRejected(this.#giveUp(context), hook, new HookTimeout(hook, context.entry.plan.timeoutMs))
  }

  // For the watchdog.

  /** Whether it waits for an instance that `isBlamed`; from now on its time stands, until `fail` is called. */
  holdIf(isBlamed: (key: string) => boolean): boolean {
    const pending = this.#pending
    if (pending === null || !isBlamed(pending.context.entry.plan.key)) return false
    pending.deadlineMs = Number.POSITIVE_INFINITY
    return true
  }

  /** The pending hook may never settle. Nothing happens when it has. */
  fail(error: GatewayError): void {
    const pending = this.#pending
    if (pending === null) return
    const { context, hook } = pending
    this.#run.onRejected(this.#giveUp(context), hook, error)
  }
}
