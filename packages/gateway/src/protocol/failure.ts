import { type ErrorCode, GatewayError, messageOf } from '../base/errors.ts'

/** An error on its way between processes: what a person needs of it, as plain data. */
export interface Failure {
  readonly code: ErrorCode
  /** A sentence. */
  readonly message: string
  /** The plugin instance whose fault it is, or null. */
  readonly plugin: string | null
  /** Mapped to the source where the error came from a plugin; null when there is none to show. */
  readonly stack: string | null
}

/** A failure of a plugin's code while it runs. */
export interface CodeFailure extends Failure {
  /** The line where it happened, as it was compiled, with a caret below it; null when there is none to show. */
  readonly frame: string | null
}

/** The failure to report for whatever was thrown; what is not a GatewayError is our own mistake. */
export function failureOf(thrown: unknown): Failure {
  if (!(thrown instanceof GatewayError)) {
    return {
      code: 'INTERNAL_ERROR',
      message: messageOf(thrown),
      plugin: null,
      stack: thrown instanceof Error ? (thrown.stack ?? null) : null,
    }
  }
  const stack = thrown.cause instanceof Error ? (thrown.cause.stack ?? null) : null
  return { code: thrown.code, message: thrown.message, plugin: thrown.plugin, stack }
}

/** The other way round: the failure as the error it was where it happened. */
export function errorOf(failure: Failure): GatewayError {
  const context = failure.plugin === null ? {} : { plugin: failure.plugin }
  if (failure.stack === null) return new GatewayError(failure.code, failure.message, context)
  const cause = new Error(failure.message)
  cause.stack = failure.stack
  return new GatewayError(failure.code, failure.message, { ...context, cause })
}
