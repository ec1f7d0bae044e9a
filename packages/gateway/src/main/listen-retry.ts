import type { Log } from '@cardea/sdk'
import { PROCESS_LIMITS } from '../config/limits.ts'
import type { ListenAddress, ListenFailure, LostAddress } from '../protocol/listen-address.ts'

export interface ListenRetryOptions {
  log(): Log
  /** Binds what is not bound, and has every worker listen on what it does not listen on yet. */
  again(): void
  /** It is something else that is lost, or for another reason. */
  onChange(lost: readonly LostAddress[]): void
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
  readonly #lost = new Map<string, LostAddress>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: ListenRetryOptions) {
    this.#options = options
  }

  get lost(): readonly LostAddress[] {
    return [...this.#lost.values()]
  }

  isLost(address: ListenAddress): boolean {
    return this.#lost.has(keyOf(address))
  }

  failed({ host, port }: ListenAddress, failure: ListenFailure): void {
    const { listenRetryMs: retryMs } = PROCESS_LIMITS
    const key = keyOf({ host, port })
    const known = this.#lost.get(key)
    const reason = failure.reason.endsWith('.') ? failure.reason : `${failure.reason}.`
    // Once for all workers and tries.
    if (known === undefined)
      this.#options.log().error(`${reason} All else serves, and this is tried again`, { retryMs })
    if (known?.reason !== reason) {
      const since = known?.since ?? Date.now()
      this.#lost.set(key, { host, port, reason, systemCode: failure.systemCode, since, retryMs })
      this.#options.onChange(this.lost)
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#options.again()
    }, retryMs).unref()
  }

  listens(address: ListenAddress): void {
    const key = keyOf(address)
    if (!this.#lost.delete(key)) return
    // As a warning, since the loss was told as an error: whoever reads no more than that would wait for it.
    this.#options.log().warn(`Listening on ${key} now`)
    this.#options.onChange(this.lost)
  }

  /** Those of what is committed now: what is not among them is wanted no more. */
  committed(addresses: readonly ListenAddress[]): void {
    const before = this.#lost.size
    const wanted = new Set(addresses.map(keyOf))
    for (const key of this.#lost.keys()) if (!wanted.has(key)) this.#lost.delete(key)
    if (this.#lost.size < before) this.#options.onChange(this.lost)
  }
}

function keyOf({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
