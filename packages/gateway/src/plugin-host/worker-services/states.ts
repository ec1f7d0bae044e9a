import type { Log, PreviousState } from '@cardea/sdk'
import { GatewayError, messageOf } from '../../base/errors.ts'
import { PLUGIN_LIMITS } from '../../config/limits.ts'
import type { PluginStateCopy } from '../../protocol/supervisor-worker.ts'
import { withMappedStack } from '../load.ts'
import { copyState } from './copy-state.ts'
import type { StateUser } from './state-user.ts'

/** Who uses states: one instance, or several that share a host. */
export interface StateOwner {
  readonly plugin: string
  /** The instance's name. */
  readonly name: string
  readonly log: Log
  mapStack(error: Error): string
}

/** A value that an owner asks for. */
export interface StateRequest {
  readonly name: string
  readonly version: number
  /** Makes it, of what there is. */
  create(previous: PreviousState | null): unknown
}

const COMMIT_STEP = 2

/** What only hooks use, of which nobody knows whether they still run, counts as older than what a middleware uses that is live. */
export const HOOKS_BEHIND = COMMIT_STEP / 2

/** One live value. */
export interface Cell {
  readonly version: number
  readonly value: unknown
  /** Owners that hold it. */
  users: number
  /** The last commit whose generation uses it, or a bit before that; of two versions the one with the later is the newer. */
  lastCommit: number
}

/**
 * The `host.state` values of this process: one for each plugin, name and version, shared by all owners that ask for it.
 * A value comes to life in the turn in which a generation goes live, and dies with the last that uses it.
 */
export class StateStore {
  /** By plugin and name, then by version. */
  readonly #cells = new Map<string, Map<number, Cell>>()
  readonly #onCreate: (instance: string, state: string) => void
  #commits = 0

  /** `onCreate` is told each value that is about to be made. */
  constructor(onCreate: (instance: string, state: string) => void = () => {}) {
    this.#onCreate = onCreate
  }

  /** Values that nobody here has made, and that live as long as the store: what migrations are tried on. */
  seed(copies: readonly PluginStateCopy[]): void {
    for (const { plugin, name, version, value } of copies) {
      this.#commits += COMMIT_STEP
      this.#keep(plugin, name, { version, value, users: 1, lastCommit: this.#commits })
    }
  }

  /**
   * The owners of a generation go live: makes what they have asked for and does not live yet. `previous` is complete,
   * since nobody else runs in this turn. Returns what `create` threw.
   */
  goLive(owners: readonly StateUser[]): GatewayError[] {
    const errors: GatewayError[] = []
    for (const owner of owners) owner.goLive(errors)
    this.#commits += COMMIT_STEP
    for (const owner of owners) owner.touch(this.#commits)
    return errors
  }

  /** The cell of that version, made if it does not live. Throws a GatewayError when `create` fails. */
  hold(owner: StateOwner, request: StateRequest, errors: GatewayError[]): Cell {
    const { name, version } = request
    const living = this.#cells.get(cellKey(owner.plugin, name))
    let cell = living?.get(version)
    if (cell === undefined) {
      const value = this.#create(owner, request, newest(living), errors)
      // Asked for again by `create` itself, it may be there by now.
      cell = living?.get(version) ?? { version, value, users: 0, lastCommit: this.#commits - HOOKS_BEHIND }
      this.#keep(owner.plugin, name, cell)
    }
    cell.users++
    return cell
  }

  letGo(plugin: string, name: string, cell: Cell): void {
    if (--cell.users > 0) return
    const key = cellKey(plugin, name)
    const versions = this.#cells.get(key)
    versions?.delete(cell.version)
    if (versions?.size === 0) this.#cells.delete(key)
  }

  /** The older version of a value stands before the newer. */
  copies(plugins: readonly string[]): PluginStateCopy[] {
    const wanted = new Set(plugins)
    const found: (PluginStateCopy & { readonly lastCommit: number })[] = []
    let bytesLeft: number = PLUGIN_LIMITS.stateCopiesBytesMax
    for (const [key, versions] of this.#cells) {
      const [plugin = '', name = ''] = key.split('\0')
      if (!wanted.has(plugin)) continue
      for (const { version, value, lastCommit } of versions.values()) {
        const copy = copyState(value, Math.min(PLUGIN_LIMITS.stateCopyBytesMax, bytesLeft))
        if (copy === null) continue
        bytesLeft -= copy.bytes
        found.push({ plugin, name, version, value: copy.value, lastCommit })
      }
    }
    return found
      .sort((a, b) => a.lastCommit - b.lastCommit || a.version - b.version)
      .map(({ lastCommit: _, ...copy }) => copy)
  }

  /** Of the newest version, and if that cannot be, of nothing. What was thrown on the way is added to `errors`. */
  #create(owner: StateOwner, request: StateRequest, from: Cell | null, errors: GatewayError[]): unknown {
    this.#onCreate(owner.name, `state ${request.name}`)
    if (from !== null) {
      try {
        return request.create(Object.freeze({ version: from.version, value: from.value }))
      } catch (thrown) {
        const error = failedToCreate(owner, request, from.version, thrown)
        errors.push(error)
        owner.log.error(`${error.message}; it is made of nothing instead`, { error: error.cause })
      }
    }
    try {
      return request.create(null)
    } catch (thrown) {
      throw failedToCreate(owner, request, null, thrown)
    }
  }

  #keep(plugin: string, name: string, cell: Cell): void {
    const key = cellKey(plugin, name)
    const versions = this.#cells.get(key) ?? new Map<number, Cell>()
    versions.set(cell.version, cell)
    this.#cells.set(key, versions)
  }
}

/** Names of plugins hold no NUL; those of states are refused when they do. */
function cellKey(plugin: string, name: string): string {
  return `${plugin}\0${name}`
}

function newest(versions: ReadonlyMap<number, Cell> | undefined): Cell | null {
  let found: Cell | null = null
  for (const cell of versions?.values() ?? []) {
    const isNewer =
      found === null ||
      cell.lastCommit > found.lastCommit ||
      (cell.lastCommit === found.lastCommit && cell.version > found.version)
    if (isNewer) found = cell
  }
  return found
}

function failedToCreate(
  owner: StateOwner,
  { name, version }: StateRequest,
  from: number | null,
  thrown: unknown,
): GatewayError {
  const cause = withMappedStack(thrown, (error) => owner.mapStack(error))
  const source = from === null ? '' : ` of version ${from}`
  return new GatewayError(
    'PLUGIN_START_FAILED',
    `Cannot make state "${name}" version ${version}${source} for plugin "${owner.name}": ${messageOf(cause)}`,
    { cause, plugin: owner.name },
  )
}
