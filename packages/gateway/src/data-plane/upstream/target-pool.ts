import { type ErrorCode, GatewayError } from '../../base/errors.ts'
import type { TargetPlan, UpstreamPlan } from '../../protocol/generation.ts'
import type { ConnectionKeeper, UpstreamLimits } from '../http1/connection-keeper.ts'
import { UpstreamConnection } from '../http1/upstream-connection.ts'
import type { Sweeper, Swept } from '../sweeper.ts'
import type { TurnWrites } from '../turn-writes.ts'
import type { AddressBook } from './addresses.ts'
import { Connector } from './connect.ts'
import type { TargetHealth } from './target-health.ts'

/** Who waits for a connection. */
export interface Acquirer {
  onAcquired(connection: UpstreamConnection): void
  onAcquireFailed(error: GatewayError): void
  /** The target it waits for is out of rotation now. Returns whether it has gone to another. */
  onTargetEjected(): boolean
}

interface Waiter {
  readonly acquirer: Acquirer
  readonly deadlineMs: number
  /** Only a new connection will do. */
  readonly isForNew: boolean
}

/** All that the behaviour of a pool depends on. */
export interface PoolSettings {
  readonly plan: UpstreamPlan
  readonly limits: UpstreamLimits
  readonly tunnelIdleMs: number
}

export interface PoolEnvironment {
  readonly sweeper: Sweeper
  readonly addresses: AddressBook
  readonly writes: TurnWrites
  onInternalError(error: unknown): void
}

/**
 * The connections of one worker to one target: the idle ones, newest first, so that the others may age out; a bound on
 * all; and a bounded queue of those who wait for one.
 */
export class TargetPool implements ConnectionKeeper, Swept {
  sweepIndex = -1
  readonly plan: UpstreamPlan
  readonly target: TargetPlan
  readonly limits: UpstreamLimits
  readonly tunnelIdleMs: number
  readonly health: TargetHealth
  readonly sweeper: Sweeper
  readonly onInternalError: (error: unknown) => void
  readonly #connector: Connector
  readonly #idle: UpstreamConnection[] = []
  readonly #connecting = new Map<UpstreamConnection, Acquirer | null>()
  readonly #queue: Waiter[] = []
  #connectionCount = 0
  #keepsIdle = true

  constructor(
    settings: PoolSettings,
    target: TargetPlan,
    environment: PoolEnvironment,
    health: TargetHealth,
  ) {
    const { plan, limits, tunnelIdleMs } = settings
    this.plan = plan
    this.target = target
    this.limits = limits
    this.tunnelIdleMs = tunnelIdleMs
    this.health = health
    this.sweeper = environment.sweeper
    this.onInternalError = environment.onInternalError
    const { addresses, writes } = environment
    const { relayBufferBytes } = limits
    this.#connector = new Connector(plan, target, { relayBufferBytes, writes }, addresses)
    this.sweeper.add(this)
  }

  /** Out of rotation after failures in a row. */
  get ejected(): boolean {
    return this.health.isEjected(this.sweeper.nowMs)
  }

  /** Gives an idle connection before it returns, or a new or waited-for one later. */
  acquire(acquirer: Acquirer): void {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.usable) continue
      acquirer.onAcquired(idle)
      return
    }
    if (this.#connectionCount < this.plan.connectionsMax) this.#connect(acquirer)
    else if (this.#queue.length < this.plan.queueMax) {
      this.#queue.push({ acquirer, deadlineMs: this.#queueDeadlineMs, isForNew: false })
    } else {
      acquirer.onAcquireFailed(
        this.#error(
          'UPSTREAM_QUEUE_FULL',
          `${this.#queue.length} requests wait for ${this.target.url} already`,
        ),
      )
    }
  }

  /**
   * Opens a new connection even when idle ones are there: for the second try after one of them was found dead, when the
   * others may be as well. Where there is no place it comes first, since it takes the place of that one.
   */
  acquireNew(acquirer: Acquirer): void {
    if (this.#connectionCount < this.plan.connectionsMax) {
      this.#connect(acquirer)
      return
    }
    // No later than whoever came first until now, for the queue is in the order of its deadlines.
    const deadlineMs = this.#queue[0]?.deadlineMs ?? this.#queueDeadlineMs
    this.#queue.unshift({ acquirer, deadlineMs, isForNew: true })
  }

  get #queueDeadlineMs(): number {
    return this.sweeper.nowMs + this.plan.queueTimeoutMs
  }

  /** The acquirer does not wait any longer. */
  cancel(acquirer: Acquirer): void {
    const at = this.#queue.findIndex((waiter) => waiter.acquirer === acquirer)
    if (at !== -1) this.#queue.splice(at, 1)
    for (const [connection, waiting] of this.#connecting) {
      if (waiting === acquirer) this.#connecting.set(connection, null)
    }
  }

  #connect(acquirer: Acquirer): void {
    const connection = new UpstreamConnection(this, (owner, onConnected) =>
      this.#connector.open(owner, onConnected),
    )
    this.#connectionCount++
    this.#connecting.set(connection, acquirer)
  }

  onConnected(connection: UpstreamConnection): void {
    const acquirer = this.#connecting.get(connection) ?? null
    this.#connecting.delete(connection)
    if (acquirer === null) this.onReusable(connection)
    else acquirer.onAcquired(connection)
  }

  onReusable(connection: UpstreamConnection): void {
    const waiter = this.#queue[0]
    if (waiter === undefined) {
      if (this.#keepsNoMore()) connection.close()
      else this.#idle.push(connection)
    } else if (waiter.isForNew) connection.close()
    else {
      this.#queue.shift()
      waiter.acquirer.onAcquired(connection)
    }
  }

  #keepsNoMore(): boolean {
    const { idleConnectionsMax, keepAliveMs } = this.plan
    return !this.#keepsIdle || keepAliveMs === 0 || this.#idle.length >= idleConnectionsMax
  }

  onConnectionClosed(connection: UpstreamConnection, error: GatewayError | null): void {
    this.#connectionCount--
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
    const acquirer = this.#connecting.get(connection) ?? null
    this.#connecting.delete(connection)
    if (error !== null) {
      if (error.source === 'upstream') this.noteFailure()
      acquirer?.onAcquireFailed(error)
    }
    this.#serveQueue()
  }

  /** What it did was ended in the middle (see broken-off.ts). */
  mend(): void {
    this.#serveQueue()
  }

  /** A place came free: whoever waited longest gets a connection of their own. */
  #serveQueue(): void {
    while (this.#queue.length > 0 && this.#connectionCount < this.plan.connectionsMax) {
      const waiter = this.#queue.shift()
      if (waiter !== undefined) this.#connect(waiter.acquirer)
    }
  }

  /** The target answered: what failed before does not count any more. */
  noteSuccess(): void {
    this.health.noteSuccess()
  }

  /** Counts towards passive ejection: refused, timed out, cut. An answer, also a 5xx, is none. */
  noteFailure(): void {
    const { ejectAfterFailures, ejectMs } = this.plan
    this.health.noteFailure(this.sweeper.nowMs, ejectAfterFailures, ejectMs)
    // They would wait here, one connection after the other, for what does not come.
    if (this.#queue.length === 0 || !this.ejected) return
    const staying = this.#queue.splice(0).filter(({ acquirer }) => !acquirer.onTargetEjected())
    this.#queue.unshift(...staying)
  }

  sweep(nowMs: number): void {
    for (
      let waiter = this.#queue[0];
      waiter !== undefined && nowMs >= waiter.deadlineMs;
      waiter = this.#queue[0]
    ) {
      this.#queue.shift()
      waiter.acquirer.onAcquireFailed(
        this.#error('UPSTREAM_QUEUE_TIMEOUT', `No connection to ${this.target.url} came free in time`),
      )
    }
  }

  /** Only exchanges of replaced generations are left: idle connections go, busy ones when they are done. */
  shed(): void {
    this.#keepsIdle = false
    for (const connection of this.#idle.splice(0)) connection.close()
  }

  /** A generation that is to serve uses the target again. */
  keep(): void {
    this.#keepsIdle = true
  }

  /** Nobody uses the target any longer. */
  close(): void {
    this.shed()
    this.sweeper.remove(this)
    this.#connector.close()
  }

  #error(code: ErrorCode, detail: string): GatewayError {
    return new GatewayError(code, detail)
  }
}
