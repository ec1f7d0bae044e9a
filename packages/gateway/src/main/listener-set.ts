import { GatewayError } from '../base/errors.ts'
import { ListenError } from '../base/listen-error.ts'
import type { ListenerPlan } from '../protocol/generation.ts'
import type { ListenAddress } from '../protocol/listen-address.ts'
import { type ListeningSocket, openListeningSocket } from './listening-socket.ts'

interface Listener {
  readonly plan: ListenerPlan
  readonly socket: ListeningSocket
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

  /** What workers accept on. */
  get sockets(): readonly ListeningSocket[] {
    return this.#live.map(({ socket }) => socket)
  }

  get addresses(): readonly ListenAddress[] {
    return this.#live.map(({ socket }) => socket.address)
  }

  /**
   * Opens those of `plans` that are not bound yet. Returns the addresses that `commit` will serve. Throws LISTEN_FAILED,
   * also when it was given up meanwhile: by `discard`, or by another call. Nothing has changed then.
   */
  async stage(plans: readonly ListenerPlan[]): Promise<readonly ListenAddress[]> {
    this.discard()
    const attempt = this.#attempt
    const staged: Listener[] = []
    try {
      for (const plan of plans) {
        const living = this.#live.find((listener) => isSame(listener.plan, plan))
        staged.push(living ?? { plan, socket: await this.#open(plan) })
        // A name can take longer to be looked up than the change waits for it.
        if (attempt !== this.#attempt) throw givenUp(plan)
      }
    } catch (thrown) {
      this.#close(staged, this.#live)
      throw thrown
    }
    this.#staged = staged
    return staged.map(({ socket }) => socket.address)
  }

  /** Closes what `stage` opened, or is about to. Nothing happens without it. */
  discard(): void {
    this.#attempt += 1
    if (this.#staged !== null) this.#close(this.#staged, this.#live)
    this.#staged = null
  }

  /** What was staged is live from now on; what it does not name is closed here. Nothing happens without `stage`. */
  commit(): void {
    if (this.#staged === null) return
    const previous = this.#live
    this.#live = this.#staged
    this.#staged = null
    this.#close(previous, this.#live)
  }

  close(): void {
    this.discard()
    this.#close(this.#live, [])
    this.#live = []
  }

  async #open(plan: ListenerPlan): Promise<ListeningSocket> {
    try {
      return await openListeningSocket(plan)
    } catch (thrown) {
      const own = this.#live.find((listener) => listener.plan.port === plan.port)
      const isInUse = thrown instanceof ListenError && thrown.systemCode === 'EADDRINUSE'
      if (own === undefined || !isInUse) throw thrown
      const detail =
        `Cannot listen on ${plan.host}:${plan.port}: this gateway listens on ${own.plan.host}:${plan.port}, and the ` +
        'system does not give it both at once, which a change needs. Choose another port, or start the gateway again.'
      throw new GatewayError('LISTEN_FAILED', detail, { cause: thrown })
    }
  }

  #close(listeners: readonly Listener[], kept: readonly Listener[]): void {
    for (const listener of listeners) if (!kept.includes(listener)) listener.socket.handle.close()
  }
}

function givenUp({ host, port }: ListenerPlan): GatewayError {
  return new GatewayError('LISTEN_FAILED', `Cannot listen on ${host}:${port}: it was given up meanwhile`)
}

function isSame(a: ListenerPlan, b: ListenerPlan): boolean {
  return a.host === b.host && a.port === b.port
}
