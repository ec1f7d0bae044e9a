import type { Log } from '@cardea/sdk'
import { PROCESS_LIMITS } from '../config/limits.ts'
import type { ListenAddress } from '../protocol/listen-address.ts'

export interface ListenRetryOptions {
  log(): Log
  /** Binds what is not bound, and has every worker listen on what it does not listen on yet. */
  again(): void
}

/**
 * Addresses of what is committed that nobody can listen on. To be bound reserves nothing: with SO_REUSEADDR, which most
 * servers set, another program may bind the address too as long as neither listens, and listen first. By then the change is
 * decided, so it rolls forward: all other sockets and all connections go on, and this one is tried again until the address
 * is free, or a change gives it up. So is one that a supervisor cannot even bind any more when it rolls forward what its
 * predecessor has decided.
 */
export class ListenRetry {
  readonly #options: ListenRetryOptions
  readonly #told = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: ListenRetryOptions) {
    this.#options = options
  }

  /** `reason`: a sentence. */
  failed(address: ListenAddress, reason: string): void {
    const { listenRetryMs: retryMs } = PROCESS_LIMITS
    const key = keyOf(address)
    // Once for all workers and tries.
    if (!this.#told.has(key)) {
      const sentence = reason.endsWith('.') ? reason : `${reason}.`
      this.#options.log().error(`${sentence} All else serves, and this is tried again`, { retryMs })
    }
    this.#told.add(key)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#options.again()
    }, retryMs).unref()
  }

  listens(address: ListenAddress): void {
    const key = keyOf(address)
    if (this.#told.delete(key)) this.#options.log().info(`Listening on ${key} now`)
  }

  /** Those of what is committed now: what is not among them is wanted no more. */
  committed(addresses: readonly ListenAddress[]): void {
    const wanted = new Set(addresses.map(keyOf))
    for (const key of this.#told) if (!wanted.has(key)) this.#told.delete(key)
  }
}

function keyOf({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
