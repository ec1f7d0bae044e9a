import { GatewayError, messageOf, stackOf } from '../base/errors.ts'
import type { Suspect } from './suspects.ts'

/** An exception that nobody caught, and the instances whose code threw it. */
export interface Uncaught {
  readonly error: GatewayError
  /** Never empty: all instances of the innermost plugin on the stack, since nothing tells which of them it was. */
  readonly culprits: readonly Suspect[]
}

/** A frame of a plugin's code: its file, and the first digits of its code's hash. */
const PLUGIN_FRAME = /#([0-9a-f]{12}):\d+:\d+/g

/** Null: by its stack it is no plugin's. */
export function uncaughtOf(thrown: unknown, suspects: readonly Suspect[]): Uncaught | null {
  if (!(thrown instanceof Error)) return null
  for (const [, hash = ''] of stackOf(thrown).matchAll(PLUGIN_FRAME)) {
    const culprits = suspects.filter(({ plan }) => plan.codeHash.startsWith(hash))
    const [first] = culprits
    if (first === undefined) continue
    const { name } = first.plan
    const message = `Plugin "${name}" threw where nobody catches it: ${messageOf(thrown)}`
    const error = new GatewayError('PLUGIN_UNCAUGHT', message, { plugin: name, cause: thrown })
    error.stack = first.mapStack(thrown)
    return { error, culprits }
  }
  return null
}
