import type { PluginTiming } from '@cardea/sdk'
import type { InstancePlan } from '../../protocol/generation.ts'
import type { HookContext } from './context.ts'
import type { ExchangeView } from './exchange-view.ts'
import type { Hook, HookWait } from './hook-wait.ts'
import { timingOf } from './timing.ts'

/**
 * The plugins that an exchange has entered, by their contexts, and how far their hooks have come.
 *
 * It is also all that the contexts hold of the exchange, and until when. Ending it ends all of them at once: by then they are
 * out of the processor's caches, and going through them takes longer than making them.
 */
export class EnteredPlugins {
  /** The hook that was called last. */
  hook: Hook = 'handle'
  /** Of the last plugin entered; the others are before it. */
  last: HookContext | null = null
  /** The next of onError or onFinish, going backwards. */
  cursor: HookContext | null = null
  /** The next onResponse, going backwards; undefined before the first answer. */
  responseCursor: HookContext | null | undefined
  #exchange: ExchangeView | null
  /** Those whose plugins have asked for `signal`, or given streams. */
  #signalled: HookContext[] | null = null

  constructor(exchange: ExchangeView | null) {
    this.#exchange = exchange
  }

  /** Null when it is over. */
  get exchange(): ExchangeView | null {
    return this.#exchange
  }

  addSignalled(context: HookContext): void {
    this.#signalled ??= []
    this.#signalled.push(context)
  }

  end(): void {
    this.#exchange = null
    for (const context of this.#signalled ?? NO_CONTEXTS) context.abort()
    this.#signalled = null
  }

  /** In the order of the chain. */
  get contexts(): HookContext[] {
    const contexts: HookContext[] = []
    for (let context = this.last; context !== null; context = context.previous) contexts.push(context)
    return contexts.reverse()
  }

  get timings(): PluginTiming[] {
    return this.contexts.map(timingOf)
  }

  /** Of the hook that was called last. */
  get called(): HookContext | null {
    if (this.hook === 'handle') return this.last
    const cursor = this.hook === 'onResponse' ? (this.responseCursor ?? null) : this.cursor
    let context = this.last
    while (context !== null && context.previous !== cursor) context = context.previous
    return context
  }

  get calledPlan(): InstancePlan | null {
    return this.called?.entry.plan ?? null
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

  /**
   * A hook that still runs when its exchange goes another way must change nothing of it any more. Returns its context, whose
   * signal is to be aborted after that. `wait`: what its promise is waited for by, if it has returned one.
   */
  overtakeRunning(wait: HookWait | null, exchange: ExchangeView): HookContext | null {
    const running = wait?.pendingContext ?? this.#inCall
    if (running === null) return null
    wait?.abandonPending()
    running.entry.guard.dropProbe(running)
    this.renew(running)
    exchange.unshare()
    running.overtake()
    return running
  }

  /** Puts another context in the place of that of a hook that runs on. */
  renew(context: HookContext): HookContext {
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

const NO_CONTEXTS: readonly HookContext[] = []
