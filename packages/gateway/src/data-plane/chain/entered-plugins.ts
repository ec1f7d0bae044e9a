import type { PluginTiming } from '@cardea/sdk'
import type { InstancePlan } from '../../protocol/generation.ts'
import { type HookContext, inOrder, Tenure } from './context.ts'
import { HookWait } from './hook-wait.ts'
import { timingOf } from './timing.ts'

/** The part of a chain's run that knows which plugins the exchange has entered, by their contexts, and how far it is. */
export abstract class EnteredPlugins extends HookWait {
  protected readonly tenure = new Tenure(this.user)
  /** Of the last plugin entered; the others are before it. */
  protected last: HookContext | null = null
  /** The next of onError or onFinish, going backwards. */
  protected cursor: HookContext | null = null
  /** The next onResponse, going backwards; undefined before the first answer. */
  protected responseCursor: HookContext | null | undefined

  timings(): PluginTiming[] {
    return inOrder(this.last).map(timingOf)
  }

  /** Of the hook that was called last. */
  get calledPlan(): InstancePlan | null {
    return this.called?.entry.plan ?? null
  }

  protected get called(): HookContext | null {
    if (this.hook === 'handle') return this.last
    const cursor = this.hook === 'onResponse' ? (this.responseCursor ?? null) : this.cursor
    let context = this.last
    while (context !== null && context.previous !== cursor) context = context.previous
    return context
  }

  /**
   * A hook that still runs when its exchange goes another way must change nothing of it any more. Returns its context, whose
   * signal is to be aborted after that.
   */
  protected overtakeRunning(): HookContext | null {
    const running = this.pendingContext ?? this.#inCall
    if (running === null) return null
    this.abandonPending()
    running.entry.guard.dropProbe(running)
    this.renew(running)
    this.user.unshare()
    running.overtake()
    return running
  }

  /** Of the hook that has not returned: what it asked for broke the request or the response at once. */
  get #inCall(): HookContext | null {
    const { last } = this
    // The first answer of nearly every exchange: contexts are not gone through.
    if (this.hook === 'handle') return last?.outcome === 'entered' ? last : null
    let context = last
    while (context !== null && !context.mayEditResponse) context = context.previous
    return context
  }

  protected override renew(context: HookContext): HookContext {
    const renewed = context.renewed()
    context.entry.guard.renewProbe(context, renewed)
    if (this.last === context) this.last = renewed
    if (this.responseCursor === context) this.responseCursor = renewed
    for (let next = this.last; next !== null; next = next.previous) {
      if (next.previous === context) next.previous = renewed
    }
    return renewed
  }
}
