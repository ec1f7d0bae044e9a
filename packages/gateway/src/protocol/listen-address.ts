/** Where a listener is really bound: the port is never 0. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** Why an address cannot be listened on. */
export interface ListenFailure {
  /** A sentence, and the way out. */
  readonly reason: string
  /** The system's name for it: `EADDRINUSE`; null where it was not the system that refused. */
  readonly systemCode: string | null
}

/** An address of what is committed that nobody listens on: it cannot be had, and is tried again by itself. */
export interface LostAddress extends ListenAddress, ListenFailure {
  /** Of the first try that failed. Unix time, milliseconds. */
  readonly since: number
  /** From one try to the next. */
  readonly retryMs: number
}
