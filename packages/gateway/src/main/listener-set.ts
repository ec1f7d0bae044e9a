import { GatewayError, messageOf } from '../base/errors.ts'
import { ListenError, systemCodeOf } from '../base/listen-error.ts'
import type { ListenerPlan } from '../protocol/generation.ts'
import type { ListenAddress, ListenFailure } from '../protocol/listen-address.ts'
import { type ListeningSocket, openListeningSocket } from './listening-socket.ts'

interface Listener {
  readonly plan: ListenerPlan
  /** Null: it could not be bound so far. */
  socket: ListeningSocket | null
  /** Why not. */
  failure: ListenFailure | null
}

/** A listener that is live without a socket. */
export interface MissingListener {
  readonly address: ListenAddress
  readonly failure: ListenFailure
}

/**
 * The bound sockets. A change opens the new ones beside the others (that may fail), and swaps the sets when it is
 * committed; what both sets name stays bound all the while.
 */
export class ListenerSet {
  #live: readonly Listener[] = []
  #staged: readonly Listener[] | null = null
  /** Counts what was begun and given up. */
  #attempt = 0
  readonly #isLost: (address: ListenAddress) => boolean

  /** `isLost`: whether another program has an address of what is live, so that nobody listens on it. */
  constructor(isLost: (address: ListenAddress) => boolean = () => false) {
    this.#isLost = isLost
  }

  /** What workers accept on. */
  get sockets(): readonly ListeningSocket[] {
    return this.#live.flatMap(({ socket }) => (socket === null ? [] : [socket]))
  }

  get addresses(): readonly ListenAddress[] {
    return this.#live.map(addressOf)
  }

  get missing(): readonly MissingListener[] {
    return this.#live.flatMap((listener) => {
      const { socket, failure } = listener
      return socket !== null || failure === null ? [] : [{ address: addressOf(listener), failure }]
    })
  }

  /**
   * Opens those of `plans` that are not bound yet. Returns the addresses that `commit` will serve. Throws LISTEN_FAILED,
   * also when it was given up meanwhile: by `discard`, or by another call. What is live has not changed then.
   *
   * What an earlier call has staged and these name too stays bound: a supervisor that rolls forward what its predecessor has
   * decided needs the very same, and another program could have them in between.
   */
  stage(plans: readonly ListenerPlan[]): Promise<readonly ListenAddress[]> {
    return this.#stage(plans, (plan) => this.#open(plan))
  }

  /** The same for what is decided: what cannot be opened is live without a socket, and keeps nothing else back. */
  stageDecided(plans: readonly ListenerPlan[]): Promise<readonly ListenAddress[]> {
    return this.#stage(plans, async (plan) => {
      try {
        return await this.#open(plan)
      } catch (thrown) {
        return { plan, socket: null, failure: failureOf(thrown) }
      }
    })
  }

  async #stage(
    plans: readonly ListenerPlan[],
    open: (plan: ListenerPlan) => Promise<Listener>,
  ): Promise<readonly ListenAddress[]> {
    const bound = [...this.#live, ...(this.#staged ?? [])].filter((listener) =>
      plans.some((plan) => isSame(listener.plan, plan)),
    )
    this.#giveUp([...this.#live, ...bound])
    const attempt = this.#attempt
    const staged: Listener[] = []
    try {
      for (const plan of plans) {
        const known = bound.find((listener) => isSame(listener.plan, plan))
        staged.push(known ?? (await open(plan)))
        // A name can take longer to be looked up than the change waits for it.
        if (attempt !== this.#attempt) throw givenUp(plan)
      }
    } catch (thrown) {
      this.#close(new Set([...bound, ...staged]), this.#live)
      throw thrown
    }
    this.#staged = staged
    return staged.map(addressOf)
  }

  /** Closes what `stage` opened, or is about to. Nothing happens without it. */
  discard(): void {
    this.#giveUp(this.#live)
  }

  /** What was staged is live from now on; what it does not name is closed here. Nothing happens without `stage`. */
  commit(): void {
    if (this.#staged === null) return
    const previous = this.#live
    this.#live = this.#staged
    this.#staged = null
    this.#close(previous, this.#live)
  }

  /** Tries to open what is live without a socket. Never rejects. */
  async bindMissing(): Promise<void> {
    for (const listener of this.#live.filter(({ socket }) => socket === null)) {
      try {
        const { socket } = await this.#open(listener.plan)
        // A name takes a moment to be looked up: by then a change may have given it up, or another call have bound it.
        if (this.#live.includes(listener) && listener.socket === null) listener.socket = socket
        else socket.handle.close()
      } catch (thrown) {
        listener.failure = failureOf(thrown)
      }
    }
  }

  close(): void {
    this.discard()
    this.#close(this.#live, [])
    this.#live = []
  }

  async #open(plan: ListenerPlan): Promise<Listener & { socket: ListeningSocket }> {
    try {
      return { plan, socket: await openListeningSocket(plan), failure: null }
    } catch (thrown) {
      const own = this.#live.find(
        ({ plan: { port }, socket }) =>
          port === plan.port && socket !== null && !this.#isLost(socket.address),
      )
      const isInUse = thrown instanceof ListenError && thrown.systemCode === 'EADDRINUSE'
      if (own === undefined || !isInUse) throw thrown
      const detail =
        `Cannot listen on ${plan.host}:${plan.port}: this gateway listens on ${own.plan.host}:${plan.port}, and the ` +
        'system does not give it both at once, which a change needs. Choose another port, or start the gateway again.'
      throw new GatewayError('LISTEN_FAILED', detail, { cause: thrown })
    }
  }

  #giveUp(kept: readonly Listener[]): void {
    this.#attempt += 1
    if (this.#staged !== null) this.#close(this.#staged, kept)
    this.#staged = null
  }

  #close(listeners: Iterable<Listener>, kept: readonly Listener[]): void {
    for (const listener of listeners) if (!kept.includes(listener)) listener.socket?.handle.close()
  }
}

function addressOf({ plan, socket }: Listener): ListenAddress {
  return socket?.address ?? { host: plan.host, port: plan.port }
}

function failureOf(thrown: unknown): ListenFailure {
  return { reason: messageOf(thrown), systemCode: systemCodeOf(thrown) }
}

function givenUp({ host, port }: ListenerPlan): GatewayError {
  return new GatewayError('LISTEN_FAILED', `Cannot listen on ${host}:${port}: it was given up meanwhile`)
}

function isSame(a: ListenerPlan, b: ListenerPlan): boolean {
  return a.host === b.host && a.port === b.port
}
