import type { Log } from '@cardea/sdk'
import { PROCESS_LIMITS } from '../config/limits.ts'
import type { ListeningSocket } from './listening-socket.ts'

export interface ListenRetryOptions {
  log(): Log
  /** Has every worker listen on what it does not listen on yet. */
  again(): void
}

/**
 * Sockets that are bound and live, and that nobody can listen on. To be bound reserves nothing: with SO_REUSEADDR, which
 * most servers set, another program may bind the address too as long as neither listens, and listen first. By then the
 * change is decided, so it rolls forward: all other sockets and all connections go on, and this one is tried again until the
 * address is free, or a change gives it up.
 */
export class ListenRetry {
  readonly #options: ListenRetryOptions
  readonly #told = new WeakSet<ListeningSocket>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: ListenRetryOptions) {
    this.#options = options
  }

  failed(socket: ListeningSocket, message: string): void {
    const { listenRetryMs: retryMs } = PROCESS_LIMITS
    // Once for all workers and tries.
    if (!this.#told.has(socket))
      this.#options.log().error(`${message} All else serves, and this is tried again`, { retryMs })
    this.#told.add(socket)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#options.again()
    }, retryMs).unref()
  }

  listens(socket: ListeningSocket): void {
    const { host, port } = socket.address
    if (this.#told.delete(socket)) this.#options.log().info(`Listening on ${host}:${port} now`)
  }
}
