import type { BuiltInCase } from '../in-process/built-in-cases.ts'
import type { Launch } from '../processes.ts'
import type { Variant } from '../scenarios.ts'

/**
 * A proxy under test. Each is set up as its users would for speed, and to do the same work: one process or thread
 * that serves, upstream connections kept alive and without a bound on their use, the client's Host passed on,
 * `X-Forwarded-For`, `-Proto` and `-Host` set. Differences that are left are named in README.md.
 */
export interface Peer {
  readonly name: string
  readonly title: string
  readonly variants: readonly Variant[]
  /** Names of the only scenarios that it takes part in; all unless told. */
  readonly scenarios?: readonly string[]
  /** Where in its directory the `logging` variant writes; `access.log` unless told. */
  readonly accessLog?: string
  /** How to get it when it is missing. */
  readonly install: string
  /** The version, or null when it is not installed. */
  find(): Promise<string | null>
  /** Writes config files into `setup.directory` and says what to start. */
  prepare(setup: PeerSetup): Promise<Launch>
}

export interface PeerSetup {
  readonly directory: string
  readonly port: number
  readonly upstreamPort: number
  readonly variant: Variant
  /** Of the scenario. */
  readonly builtIn: BuiltInCase | null
}
