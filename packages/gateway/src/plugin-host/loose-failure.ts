import type { Log } from '@cardea/sdk'
import { messageOf } from '../base/errors.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import { withMappedStack } from './load.ts'

/** What code of an instance threw where none of its hooks runs: in a timer, in a listener. */
export interface LooseFailure {
  /** The one that the host was opened for. Others may share it by now: see `StartedInstance.update`. */
  readonly plan: InstancePlan
  /** A sentence without its end: `A timer of "auth" failed`. */
  readonly what: string
  readonly thrown: unknown
  readonly log: Log
  mapStack(error: Error): string
}

/** For processes in which nobody counts them: each is a line. */
export function logLooseFailure({ what, thrown, log, mapStack }: LooseFailure): void {
  const error = withMappedStack(thrown, mapStack)
  log.error(`${what}: ${messageOf(error)}`, { error })
}
