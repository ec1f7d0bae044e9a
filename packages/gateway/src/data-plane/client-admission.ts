import { getSystemErrorName } from 'node:util'
import type { Log } from '@cardea/sdk'
import type { GatewaySettings, UpstreamPlan } from '../protocol/generation.ts'
import type { Clock } from './sweeper.ts'

/** Connections that are being answered 503 and closed; who comes on top is not answered at all. */
const REFUSED_AT_ONCE_MAX = 32

/** Files that neither clients nor upstreams have: logs, pipes, sockets of plugins, and connections that are refused. */
const OTHER_FILES_MAX = 128

const SAID_AGAIN_AFTER_MS = 1_000

/** `turn-away`: without an answer, for even that would take too much. */
export type Admission = 'serve' | 'refuse' | 'turn-away'

/**
 * How many clients may be connected to a worker: what the config allows, but no more than leave upstreams the files that
 * they need. Without that a few hundred idle clients would make 502 of every other client's request where the system
 * lets a process open few files.
 */
export class ClientAdmission {
  readonly #log: Log
  readonly #clock: Clock
  readonly #openFilesMax: number
  #count = 0
  #max: number
  /** That of the last line in the log. */
  #toldMax = 0
  #unaccepted = 0
  #quietUntilMs = 0

  /** `openFilesMax`: what the system allows this process; infinite where nobody knows. */
  constructor(log: Log, clock: Clock, openFilesMax: number) {
    this.#log = log
    this.#clock = clock
    this.#openFilesMax = openFilesMax
    this.#max = filesForClients(openFilesMax, [])
  }

  get count(): number {
    return this.#count
  }

  /** Those that are connected stay. */
  apply({ limits: { connectionsMax } }: GatewaySettings, upstreams: readonly UpstreamPlan[]): void {
    const max = Math.min(connectionsMax, filesForClients(this.#openFilesMax, upstreams))
    this.#max = max
    if (max === connectionsMax || max === this.#toldMax) return
    this.#toldMax = max
    const text =
      `At most ${max} clients can be connected to this worker, not the ${connectionsMax} of limits.connections: ` +
      `the system lets it open ${this.#openFilesMax} files. Raise that (ulimit -n), or lower limits.connections`
    if (max < connectionsMax / 2) this.#log.warn(text)
    else this.#log.debug(text)
  }

  opened(): Admission {
    this.#count++
    if (this.#count <= this.#max) return 'serve'
    return this.#count <= this.#max + REFUSED_AT_ONCE_MAX ? 'refuse' : 'turn-away'
  }

  closed(): void {
    this.#count--
  }

  /** `errno` is negative. Said once a second at most: whoever wants to can make it happen all the time. */
  notAccepted(errno: number): void {
    this.#unaccepted++
    const nowMs = this.#clock.nowMs()
    if (nowMs < this.#quietUntilMs) return
    this.#quietUntilMs = nowMs + SAID_AGAIN_AFTER_MS
    this.#log.warn('A connection could not be accepted', {
      error: getSystemErrorName(errno),
      count: this.#unaccepted,
    })
    this.#unaccepted = 0
  }
}

/** Upstreams have a half at most, for who answers nobody needs no upstream either. */
function filesForClients(openFilesMax: number, upstreams: readonly UpstreamPlan[]): number {
  if (openFilesMax === Number.POSITIVE_INFINITY) return openFilesMax
  const shared = openFilesMax - Math.min(OTHER_FILES_MAX, Math.floor(openFilesMax / 4))
  const wanted = upstreams.reduce(
    (sum, { targets, connectionsMax }) => sum + targets.length * connectionsMax,
    0,
  )
  return Math.max(1, shared - Math.min(wanted, Math.floor(shared / 2)))
}
