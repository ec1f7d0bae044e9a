import type { GatewayError } from '../base/errors.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import { ChainRun } from './chain/chain-run.ts'
import type { ChainUser } from './chain/exchange-view.ts'
import { HookWait } from './chain/hook-wait.ts'
import { PairTransform } from './chain/pair-transform.ts'
import { TransformStage } from './chain/transform-stage.ts'
import { Exchange } from './exchange.ts'
import { ClientConnection } from './http1/client-connection.ts'
import { UpstreamConnection } from './http1/upstream-connection.ts'
import { Sweeper } from './sweeper.ts'
import { TargetPool } from './upstream/target-pool.ts'

/** One call of a stack: code of a plugin, else what `this` was, if anything. */
export type StackEntry = 'plugin' | object | null

/**
 * Is told whose hook or transform the innermost code of a plugin was called as, if it was called as one, and returns the
 * keys of the instances that are to blame.
 */
export type Blame = (called: InstancePlan | null) => ReadonlySet<string>

/**
 * A plugin that blocks is ended by V8's termination, which no catch and no finally sees: every call below it on the stack
 * ends with it, half done, up to the event that the turn began with. Whatever of ours was in such a call is told here,
 * found by the receivers on the stack, so that nothing has to be noted while all is well.
 *
 * `seize` runs while the main thread stands still within the plugin, and only keeps what would be lost: bytes of the
 * buffer that all sockets share. `mend` runs in a later turn; then the hook fails as if it had thrown, and what else was
 * left undone is done.
 */
export class BrokenOff {
  readonly #stack: ReadonlySet<object>
  /** What called the plugin; null for a timer, an event, or a continuation after `await`. */
  readonly #caller: ChainRun | TransformStage | null
  readonly #connections: readonly (ClientConnection | UpstreamConnection)[]
  /** Hooks that a promise is waited for, of which the one may be that was ended. */
  readonly #suspects: readonly (HookWait | TransformStage)[]

  /** What `blame` returned. */
  readonly blamed: ReadonlySet<string>

  /** `stack`: the innermost call first. */
  constructor(stack: readonly StackEntry[], sweeper: Sweeper, blame: Blame) {
    this.#stack = new Set(stack.filter((entry) => typeof entry === 'object' && entry !== null))
    this.#caller = callerIn(stack)
    this.blamed = blame(this.#caller?.calledPlan ?? null)
    this.#connections = [...this.#stack]
      .filter((one) => one instanceof ClientConnection || one instanceof UpstreamConnection)
      .filter((connection) => connection.seize())
    this.#suspects = this.#caller === null ? suspectsOf(sweeper, this.blamed) : []
  }

  mend(error: GatewayError): void {
    const mended = new Set<ChainUser>()
    if (this.#caller instanceof ChainRun) {
      mended.add(this.#caller.exchange)
      this.#caller.exchange.onHookEnded(error)
    } else if (this.#caller !== null) this.#caller.onEnded(error)
    for (const suspect of this.#suspects) suspect.fail(error)
    for (const one of this.#stack) {
      const exchange = one instanceof ChainRun ? one.exchange : one
      if (!(exchange instanceof Exchange) || mended.has(exchange)) continue
      mended.add(exchange)
      exchange.onBrokenOff(error)
    }
    for (const connection of this.#connections) connection.mend(error)
    for (const one of this.#stack) if (one instanceof Sweeper || one instanceof TargetPool) one.mend()
  }
}

/** What the innermost plugin code was called by, if that is a hook or a transform. */
function callerIn(stack: readonly StackEntry[]): ChainRun | TransformStage | null {
  const plugin = stack.indexOf('plugin')
  if (plugin === -1) return null
  const outer = stack.slice(plugin + 1)
  const receivers = outer.filter((entry) => typeof entry === 'object' && entry !== null)
  // Between a pair and its code are calls of Node's streams, which have no receiver.
  const caller =
    receivers[0] instanceof PairTransform
      ? receivers.find((receiver) => !(receiver instanceof PairTransform))
      : outer[0]
  return caller instanceof ChainRun || caller instanceof TransformStage ? caller : null
}

function suspectsOf(sweeper: Sweeper, blamed: ReadonlySet<string>): (HookWait | TransformStage)[] {
  const isBlamed = (key: string): boolean => blamed.has(key)
  return sweeper.all
    .filter((swept) => swept instanceof HookWait || swept instanceof TransformStage)
    .filter((waiting) => waiting.holdIf(isBlamed))
}
