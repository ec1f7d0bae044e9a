import type { Protocol } from './index.ts'

/** What one exchange was and cost. All durations are milliseconds with fractions. */
export interface FinishRecord {
  readonly id: string
  readonly generation: number
  readonly route: string | null
  readonly upstream: string | null
  /** The target that answered, such as `http://127.0.0.1:3000`. */
  readonly target: string | null
  readonly clientIp: string
  readonly method: string
  readonly host: string
  /** Path and query as the client sent them, path normalised. */
  readonly url: string
  readonly protocol: Protocol
  /** 0 when no response head was sent. */
  readonly status: number
  /** Content bytes received from the client, framing excluded. */
  readonly requestBytes: number
  /** Content bytes sent to the client, framing excluded. */
  readonly responseBytes: number
  /** Unix time in milliseconds of the request head's completion. */
  readonly startedAt: number
  readonly durations: {
    readonly total: number
    /** All `handle` hooks together. */
    readonly handle: number
    /** Waiting for a place or a connection to the upstream. */
    readonly connect: number
    /** From the request being written to the upstream's response head. */
    readonly upstream: number
    /** From the response head to the last byte. */
    readonly response: number
  }
  readonly plugins: readonly PluginTiming[]
  /** The code of the error that ended the exchange, or null. */
  readonly error: string | null
  /**
   * True when the client went away before the last byte; of an upgraded connection (status 101) when it was reset or lost
   * before either side had ended it.
   */
  readonly aborted: boolean
}

/** One plugin's part of an exchange. */
export interface PluginTiming {
  /** The instance's name. */
  readonly name: string
  /** Milliseconds from the call of `handle` to its end; 0 where it threw at once, or was not waited for any longer. */
  readonly handle: number
  /** The same of `onResponse`; 0 too where it did not run. */
  readonly onResponse: number
  /**
   * What became of it:
   * - `passed`: `handle` returned true, and if `onResponse` ran, it did not fail.
   * - `answered`: `handle` returned false, and so made the response.
   * - `failed`: one of the two failed or took too long, or the plugin may not be called (its breaker is open, or it is
   *   quarantined), and the response is the answer to that. Also if the exchange ended while `handle` ran.
   * - `skipped`: the same befell a plugin with `on_failure: open`, and the exchange went on as if that hook had not run.
   */
  readonly outcome: 'passed' | 'answered' | 'failed' | 'skipped'
}
