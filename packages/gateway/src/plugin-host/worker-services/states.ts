import type { Log, PreviousState, State } from '@cardea/sdk'
import { GatewayError, messageOf } from '../../base/errors.ts'
import { PLUGIN_LIMITS } from '../../config/limits.ts'
import type { PluginStateCopy } from '../../protocol/supervisor-worker.ts'
import { type ConfigUpdate, updateAtWork } from '../config-update.ts'
import { withMappedStack } from '../load.ts'
import { copyState } from './copy-state.ts'

/** Who uses states: one instance, or several that share a host. */
export interface StateOwner {
  readonly plugin: string
  /** The instance's name. */
  readonly name: string
  readonly log: Log
  mapStack(error: Error): string
}

type Create = (previous: PreviousState | null) => unknown

/** One live value. */
interface Cell {
  readonly version: number
  readonly value: unknown
  /** Owners that hold it. */
  users: number
  /** The last commit whose generation uses it; of two versions the one with the later is the newer. */
  lastCommit: number
}

/**
 * The `host.state` values of this process: one for each plugin, name and version, shared by all owners that ask for it.
 * A value comes to life in the turn in which a generation goes live, and dies with its last owner.
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
      const cell = { version, value, users: 1, lastCommit: ++this.#commits }
      this.#keep(plugin, name, cell)
    }
  }

  /**
   * The owners of a generation go live: makes what they have asked for and does not live yet. `previous` is complete,
   * since nobody else runs in this turn. Returns what `create` threw.
   */
  goLive(owners: readonly StateUser[]): GatewayError[] {
    const errors: GatewayError[] = []
    for (const owner of owners) owner.goLive(errors)
    this.#commits++
    for (const owner of owners) owner.touch(this.#commits)
    return errors
  }

  /** The cell of that version, made if it does not live. Throws a GatewayError when `create` fails. */
  hold(owner: StateOwner, handle: StateHandle, errors: GatewayError[]): Cell {
    const { name, version } = handle
    const living = this.#cells.get(cellKey(owner.plugin, name))
    let cell = living?.get(version)
    if (cell === undefined) {
      const value = this.#create(owner, handle, newest(living), errors)
      // Asked for again by `create` itself, it may be there by now.
      cell = living?.get(version) ?? { version, value, users: 0, lastCommit: this.#commits }
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
  #create(owner: StateOwner, handle: StateHandle, from: Cell | null, errors: GatewayError[]): unknown {
    this.#onCreate(owner.name, `state ${handle.name}`)
    if (from !== null) {
      try {
        return handle.create(Object.freeze({ version: from.version, value: from.value }))
      } catch (thrown) {
        const error = failedToCreate(owner, handle, from.version, thrown)
        errors.push(error)
        owner.log.error(`${error.message}; it is made of nothing instead`, { error: error.cause })
      }
    }
    try {
      return handle.create(null)
    } catch (thrown) {
      throw failedToCreate(owner, handle, null, thrown)
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
  { name, version }: StateHandle,
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

/** What one owner has asked for. */
export class StateUser {
  readonly #store: StateStore
  readonly #owner: StateOwner
  readonly #handles = new Map<string, StateHandle>()
  #life: 'staged' | 'live' | 'released' = 'staged'

  constructor(store: StateStore, owner: StateOwner) {
    this.#store = store
    this.#owner = owner
  }

  /** See `Host.state`. Throws TypeError or RangeError for what is no state, and what `create` throws once it is live. */
  state<T>(name: string, version: number, create: (previous: PreviousState | null) => T): State<T> {
    checkName(name)
    if (!Number.isSafeInteger(version) || version < 0) {
      const given = typeof version === 'string' ? `the text "${version}"` : String(version)
      throw new RangeError(`The version of state "${name}" is a whole number from 0, not ${given}`)
    }
    if (typeof create !== 'function') {
      throw new TypeError(`State "${name}" needs a function that makes it, not ${typeof create}`)
    }
    if (this.#life === 'released') throw this.notLive(name, 'the instance has stopped')
    const key = `${version} ${name}`
    const update = updateAtWork()
    let handle = this.#handles.get(key)
    if (handle === undefined) {
      if (this.#handles.size >= PLUGIN_LIMITS.statesMax) this.#forgetGivenUp()
      if (this.#handles.size >= PLUGIN_LIMITS.statesMax) {
        throw new RangeError(
          `Plugin "${this.#owner.name}" has ${this.#handles.size} states; keep what there are many of inside of one`,
        )
      }
      handle = new StateHandle(this, name, version, { create, update })
      if (this.#mayBind(handle)) this.#bind(handle, [])
      this.#handles.set(key, handle)
    } else if (handle.cell === null && handle.asked.update !== null) {
      // That update may have been given up, and nothing of its generation is to come of it.
      handle.asked = { create, update }
    }
    return handle as State<T>
  }

  /** Never throws; what was thrown is added to `errors`. */
  goLive(errors: GatewayError[]): void {
    if (this.#life === 'released') return
    this.#life = 'live'
    for (const handle of this.#handles.values()) {
      if (handle.cell !== null || handle.asked.update?.wentLive === false) continue
      try {
        this.#bind(handle, errors)
      } catch (thrown) {
        const error = thrown as GatewayError
        handle.failure = error
        errors.push(error)
        this.#owner.log.error(error.message, { error: error.cause })
      }
    }
  }

  touch(commit: number): void {
    for (const { cell } of this.#handles.values()) if (cell !== null) cell.lastCommit = commit
  }

  /** The cell of a handle that has none yet; what a hook asks for is made at once. */
  late(handle: StateHandle): Cell {
    if (this.#life === 'released') throw this.notLive(handle.name, 'the instance has stopped')
    if (handle.failure !== null) throw this.notLive(handle.name, handle.failure.message, handle.failure)
    if (!this.#mayBind(handle)) {
      throw this.notLive(
        handle.name,
        'its generation is not live yet; use the value in hooks, not in PluginMain',
      )
    }
    return this.#bind(handle, [])
  }

  notLive(name: string, reason: string, cause?: GatewayError): GatewayError {
    const message = `State "${name}" of plugin "${this.#owner.name}" has no value: ${reason}`
    return new GatewayError('STATE_NOT_LIVE', message, { cause, plugin: this.#owner.name })
  }

  release(): void {
    this.#life = 'released'
    for (const handle of this.#handles.values()) {
      const { cell } = handle
      handle.cell = null
      if (cell !== null) this.#store.letGo(this.#owner.plugin, handle.name, cell)
    }
    this.#handles.clear()
  }

  /** Whatever an update asked for in vain, and nobody else since, never has a value. */
  #forgetGivenUp(): void {
    for (const [key, { cell, asked }] of this.#handles) {
      if (cell === null && asked.update?.isGivenUp === true) this.#handles.delete(key)
    }
  }

  /** What an update asks for is made when it goes live: its generation may yet be discarded. */
  #mayBind({ asked: { update } }: StateHandle): boolean {
    return this.#life === 'live' && update?.wentLive !== false
  }

  #bind(handle: StateHandle, errors: GatewayError[]): Cell {
    const cell = this.#store.hold(this.#owner, handle, errors)
    handle.cell = cell
    return cell
  }
}

/** By whom a state that has not been made is asked for. */
interface Asked {
  readonly create: Create
  /** The update that does; null: what is live, or is started. */
  readonly update: ConfigUpdate | null
}

/** What a plugin holds of one state. */
class StateHandle implements State<unknown> {
  readonly name: string
  readonly version: number
  /** Null until its generation is live, and again when the instance has stopped. */
  cell: Cell | null = null
  /** Why there is no value although the generation is live. */
  failure: GatewayError | null = null
  asked: Asked
  readonly #user: StateUser
  /** The frames of the call that asked for it. As text: frames themselves would keep alive what was there then. */
  readonly #askedAt: string

  constructor(user: StateUser, name: string, version: number, asked: Asked) {
    this.#user = user
    this.name = name
    this.version = version
    this.asked = asked
    this.#askedAt = new Error('asked').stack?.replace(/^.*\n/, '') ?? ''
  }

  get value(): unknown {
    return (this.cell ?? this.#user.late(this)).value
  }

  /**
   * Throws what the plugin's function throws, and for a promise: nobody can wait for one in the turn of the swap. For nothing
   * too: no hook could put anything there, so each would fail, and the version that comes next would find nothing either.
   */
  create(previous: PreviousState | null): unknown {
    const value = this.asked.create(previous)
    if (value instanceof Promise) {
      value.catch(() => {})
      throw this.#returnFault('create returned a promise; it must be synchronous')
    }
    if (value === undefined) throw this.#returnFault('create returned nothing; it must return the value')
    return value
  }

  /** Nothing of the plugin runs any more; its author looks for the line that has the function. */
  #returnFault(message: string): TypeError {
    const error = new TypeError(message)
    error.stack = `TypeError: ${message}\n${this.#askedAt}`
    return error
  }
}

function checkName(name: unknown): asserts name is string {
  if (typeof name !== 'string' || name === '' || name.includes('\0')) {
    throw new TypeError('A state needs a name: text that is not empty and holds no NUL')
  }
}
