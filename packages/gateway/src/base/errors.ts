import type { ErrorKind, ErrorSource, Retry } from './error-kinds.ts'
import { CHANGE_ERRORS } from './errors-of-changes.ts'
import { CONTROL_ERRORS } from './errors-of-control.ts'
import { EXCHANGE_ERRORS } from './errors-of-exchanges.ts'
import { PLUGIN_ERRORS } from './errors-of-plugins.ts'

/**
 * Every code that Cardea reports, in one table that is written in several files: docs/reference/errors.md is generated
 * from it and a test holds the two together. A message is a sentence: the offender first, then the reason, then the way
 * out.
 */
export const ERRORS = {
  ...EXCHANGE_ERRORS,
  ...PLUGIN_ERRORS,
  ...CHANGE_ERRORS,
  ...CONTROL_ERRORS,
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERRORS

export interface ErrorContext {
  readonly cause?: unknown
  /** The plugin instance whose fault it is. */
  readonly plugin?: string
}

/** An error of ours: stable code, whose fault it is, and whether a retry can help. */
export class GatewayError extends Error {
  readonly code: ErrorCode
  readonly plugin: string | null

  constructor(code: ErrorCode, detail?: string, context: ErrorContext = {}) {
    super(detail ?? ERRORS[code].title, context.cause === undefined ? undefined : { cause: context.cause })
    this.name = 'GatewayError'
    this.code = code
    this.plugin = context.plugin ?? null
  }

  get source(): ErrorSource {
    return ERRORS[this.code].source
  }

  get retry(): Retry {
    return ERRORS[this.code].retry
  }

  /** The status that a client gets for it; 0 where no exchange is involved. */
  get status(): number {
    return ERRORS[this.code].status
  }
}

/** `instanceof` for what plugins throw: a proxy may throw in its turn when it is looked at. */
export function isInstance<Type>(
  thrown: unknown,
  type: abstract new (...args: never[]) => Type,
): thrown is Type {
  try {
    return thrown instanceof type
  } catch {
    return false
  }
}

/** The sentence of whatever was thrown; plugins throw strings and undefined too. Never throws. */
export function messageOf(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return String(thrown.message)
  } catch {
    return 'an error whose message cannot be read'
  }
  return typeof thrown === 'string' ? thrown : `a thrown ${thrown === null ? 'null' : typeof thrown}`
}

/** The stack of an error, or its sentence when a plugin took the stack away. Never throws. */
export function stackOf(error: Error): string {
  try {
    if (typeof error.stack === 'string') return error.stack
    return `${error.name}: ${error.message}`
  } catch {
    return 'an error whose stack cannot be read'
  }
}
