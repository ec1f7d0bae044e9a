import { GatewayError, messageOf, stackOf } from '../base/errors.ts'
import { HARMS } from '../protocol/faults.ts'
import type { Suspect } from './suspects.ts'

/** An exception that nobody caught, or a call that was refused, and whose code it was. */
export interface Uncaught {
  readonly error: GatewayError
  /** See `LiveInstance.frameOf`. */
  readonly frame: string | null
  /** Of the innermost plugin on the stack: the first digits of its code's hash. */
  readonly codeHash: string
  /**
   * All its instances, since nothing tells which of them it was. None when one of that code was stopped here: it may be what
   * that one left running, and its successor is not to pay for it.
   */
  readonly culprits: readonly Suspect[]
}

/** A frame of a plugin's code: its file, and the first digits of its code's hash. */
const PLUGIN_FRAME = /^\s+at .*#([0-9a-f]{12}):\d+:\d+\)?$/gm

/** `stopped`: hashes of code of which an instance was stopped in this process. Null: by its stack it is no plugin's. */
export function uncaughtOf(
  thrown: unknown,
  suspects: readonly Suspect[],
  stopped: ReadonlySet<string>,
): Uncaught | null {
  if (!(thrown instanceof Error)) return null
  return blamed(thrown, 'PLUGIN_UNCAUGHT', suspects, stopped)
}

/** The same of what a plugin was refused that wanted to end the process. */
export function exitOf(
  refused: GatewayError,
  suspects: readonly Suspect[],
  stopped: ReadonlySet<string>,
): Uncaught | null {
  return blamed(refused, 'PLUGIN_EXIT', suspects, stopped)
}

const DEEDS = { PLUGIN_UNCAUGHT: HARMS.uncaught, PLUGIN_EXIT: HARMS.exit } as const

function blamed(
  thrown: Error,
  code: keyof typeof DEEDS,
  suspects: readonly Suspect[],
  stopped: ReadonlySet<string>,
): Uncaught | null {
  const throwing = throwingCode(thrown, { suspects, stopped })
  if (throwing === null) return null
  const { codeHash, instances, isStopped } = throwing
  const [first] = instances
  const name = first?.plan.name ?? null
  const who = isStopped ? 'A plugin that was stopped' : `Plugin "${name}"`
  const message = `${who} ${DEEDS[code]}: ${messageOf(thrown)}`
  const error = new GatewayError(code, message, {
    ...(name !== null && { plugin: name }),
    cause: thrown,
  })
  error.stack = first?.mapStack(thrown) ?? stackOf(thrown)
  const frame = first?.frameOf(error.stack) ?? null
  return { error, frame, codeHash, culprits: isStopped ? [] : instances }
}

export interface SearchedCode {
  readonly suspects: readonly Suspect[]
  /** Hashes of code of which an instance was stopped in this process. */
  readonly stopped: ReadonlySet<string>
}

export interface ThrowingCode {
  /** See `Uncaught`. */
  readonly codeHash: string
  /** All that live here. */
  readonly instances: readonly Suspect[]
  /** There was one that lives no more. */
  readonly isStopped: boolean
}

/** Whose code threw, by the stack alone, which is not mapped for that. Null: no plugin's, or nobody knows. */
export function throwingCode(thrown: unknown, { suspects, stopped }: SearchedCode): ThrowingCode | null {
  if (!(thrown instanceof Error)) return null
  for (const [, codeHash = ''] of framesOf(thrown).matchAll(PLUGIN_FRAME)) {
    const isOfIt = (hash: string): boolean => hash.startsWith(codeHash)
    const instances = suspects.filter(({ plan }) => isOfIt(plan.codeHash))
    const isStopped = [...stopped].some(isOfIt)
    if (instances.length > 0 || isStopped) return { codeHash, instances, isStopped }
  }
  return null
}

/** Without the message, which may quote anything. */
function framesOf(thrown: Error): string {
  const stack = stackOf(thrown)
  const head = `${thrown.name}: ${messageOf(thrown)}`
  return stack.startsWith(head) ? stack.slice(head.length) : stack
}
