import type { Log } from '@cardea/sdk'
import { GatewayError } from '../base/errors.ts'
import type { StackEntry } from '../data-plane/broken-off.ts'
import type { DataPlane } from '../data-plane/data-plane.ts'
import type { FaultEvent } from '../protocol/faults.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { Stall } from '../protocol/watchdog.ts'
import type { Suspect } from './suspects.ts'

export interface StallRecoveryOptions {
  readonly log: Log
  /** For what `onFault` tells too. */
  readonly faultLog: Log
  readonly dataPlane: DataPlane
  /** All of them, those that are being started included. */
  suspects(): readonly Suspect[]
  onFault(event: FaultEvent): void
  /** A plugin was ended and its exchange has failed. `blamed`: keys of instances. */
  onRecovered(error: GatewayError, blamed: ReadonlySet<string>): void
}

/** What has been seized and not been mended yet. */
interface Seized {
  readonly stall: Stall
  readonly blamed: ReadonlySet<string>
  readonly suspects: readonly Suspect[]
  readonly recovered: PromiseWithResolvers<void>
  mend(error: GatewayError): void
}

/** What a worker makes of a plugin that blocked its event loop: whose fault it is, what fails by it, and who is told. */
export class StallRecovery {
  readonly #options: StallRecoveryOptions
  /** Keys of all instances that were to blame so far. */
  readonly #known = new Set<string>()
  #seized: Seized | null = null
  #hasEndedAny = false

  constructor(options: StallRecoveryOptions) {
    this.#options = options
  }

  /** A plugin was ended: promises of ours may never settle. */
  get hasEndedAny(): boolean {
    return this.#hasEndedAny
  }

  /** Resolves when `onRecovered` has been told of what is seized; null when nothing is. */
  get recovering(): Promise<void> | null {
    return this.#seized?.recovered.promise ?? null
  }

  /** For `WatchdogOptions.onSeized`. */
  seize(stall: Stall, stack: readonly StackEntry[]): void {
    const suspects = this.#options.suspects()
    let blamed: ReadonlySet<string> = new Set()
    const mend = this.#options.dataPlane.seize(stack, (called) => {
      blamed = this.#blame(stall, suspects, called)
      return blamed
    })
    const { recovered = Promise.withResolvers<void>() } = this.#seized ?? {}
    this.#seized = { stall, blamed, suspects, recovered, mend }
  }

  /** For `WatchdogOptions.onEnded`. */
  recover(): void {
    const seized = this.#seized
    this.#seized = null
    if (seized === null) return
    this.#hasEndedAny = true
    const { stall, blamed, suspects } = seized
    const frames = mapped(stall, suspects)
    const blocked = suspects.filter(({ plan }) => blamed.has(plan.key)).map(({ plan }) => plan)
    const names = blocked.map(({ name }) => `"${name}"`).join(', ')
    const stalled = `blocked the event loop for ${stall.stalledMs.toLocaleString('en')} ms and was ended`
    const error = new GatewayError('PLUGIN_STALLED', `Plugin ${names} ${stalled}`, {
      ...(blocked[0] === undefined ? {} : { plugin: blocked[0].name }),
    })
    error.stack = [`${error.name}: ${error.message}`, ...frames.map((frame) => `    at ${frame}`)].join('\n')
    const { code, message, stack } = error
    const frame = lineOf(stack, stall, suspects)
    this.#options.faultLog.error(message, {
      code,
      plugin: error.plugin,
      stack,
      ...(frame !== null && { frame }),
    })
    for (const { key, name: instance, plugin } of blocked) {
      this.#known.add(key)
      const { stalledMs } = stall
      this.#options.onFault({ kind: 'stall', key, instance, plugin, stalledMs, frames, frame })
    }
    seized.mend(error)
    this.#options.onRecovered(error, blamed)
    seized.recovered.resolve()
  }

  /** For `WatchdogOptions.onPassed`. */
  notePassed(stall: Stall): void {
    const suspects = this.#options.suspects()
    const [culprit] = stall.codeHashes.flatMap((hash) => suspects.filter(isOf(hash)))
    const { stalledMs } = stall
    this.#options.log.warn(`The event loop stood still for ${stalledMs.toLocaleString('en')} ms`, {
      plugin: culprit?.plan.name ?? null,
      where: mapped(stall, suspects),
    })
  }

  /**
   * The innermost plugin on the stack; the one further out that called it when that one was to blame before, and it did
   * not help. Of several instances of its code the one that was called, or all when that is not known.
   */
  #blame(stall: Stall, suspects: readonly Suspect[], called: InstancePlan | null): ReadonlySet<string> {
    let first: readonly string[] = []
    for (const codeHash of stall.codeHashes) {
      const found = suspects.filter(isOf(codeHash)).map(({ plan }) => plan.key)
      const keys = called !== null && found.includes(called.key) ? [called.key] : found
      if (keys.some((key) => !this.#known.has(key))) return new Set(keys)
      if (first.length === 0) first = keys
    }
    return new Set(first)
  }
}

const isOf =
  (codeHash: string) =>
  ({ plan }: Suspect): boolean =>
    plan.codeHash.startsWith(codeHash)

/** The line of the innermost frame that is in one of the plugins' own files. */
function lineOf(stack: string, { codeHashes }: Stall, suspects: readonly Suspect[]): string | null {
  for (const codeHash of codeHashes) {
    const frame = suspects.find(isOf(codeHash))?.frameOf(stack) ?? null
    if (frame !== null) return frame
  }
  return null
}

/** `spin (/srv/plugins/a/plugin.ts:12:5)`, the innermost first, in the plugins' own files. */
function mapped({ frames, codeHashes }: Stall, suspects: readonly Suspect[]): string[] {
  const error = new Error()
  error.stack = frames
    .map(({ functionName, path, line, column }) => {
      const place = `${path}:${line}:${column}`
      return functionName === '' ? place : `${functionName} (${place})`
    })
    .join('\n')
  for (const codeHash of codeHashes) {
    const suspect = suspects.find(isOf(codeHash))
    if (suspect !== undefined) error.stack = suspect.mapStack(error)
  }
  return error.stack.split('\n')
}
