import type { PreviousState, State } from '@cardea/sdk'
import { GatewayError } from '../../base/errors.ts'
import { PLUGIN_LIMITS } from '../../config/limits.ts'
import { type ConfigUpdate, type Maker, updateAtWork } from '../config-update.ts'
import { StateClaims } from './state-claims.ts'
import { type Cell, HOOKS_BEHIND, type StateOwner, type StateRequest, type StateStore } from './states.ts'

type Create = StateRequest['create']

/** What one owner has asked for: all middlewares that share a host. */
export class StateUser {
  readonly #store: StateStore
  readonly #owner: StateOwner
  /** By name and version: what is used, or may yet be. */
  readonly #handles = new Map<string, StateHandle>()
  readonly #claims = new StateClaims<StateHandle>()
  /** Whose middlewares the generation has that went live last. */
  readonly #serving = new Set<Maker>([null])
  /** The next that goes live is of another generation. */
  #isServing = true
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
    const update = updateAtWork()
    const isHook = update === null && this.#life === 'live'
    const handle = isHook
      ? this.#askedByHook(name, version, create)
      : this.#askedBy(update, name, version, create)
    return handle as State<unknown> as State<T>
  }

  /** What it asks for is made when it goes live: its generation may yet be discarded. */
  #askedBy(maker: Maker, name: string, version: number, create: Create): StateHandle {
    const known = this.#handles.get(keyOf(name, version))
    const handle = known ?? this.#newHandle(name, version, create, maker)
    // It may run on for long, and nothing of its generation is to come of it.
    if (maker?.isGivenUp === true) return handle
    // So was, perhaps, whoever asked before.
    if (handle.mayBeAskedAnew) handle.askAnew({ create, update: maker })
    this.#claims.add(maker, handle)
    this.#handles.set(keyOf(name, version), handle)
    return handle
  }

  /** It is made at once. */
  #askedByHook(name: string, version: number, create: Create): StateHandle {
    let handle = this.#handles.get(keyOf(name, version))
    if (handle === undefined) {
      handle = this.#newHandle(name, version, create, null)
      // What cannot be made leaves nothing behind: a hook asks with each request.
      this.#bind(handle, [])
      this.#handles.set(keyOf(name, version), handle)
    } else if (handle.mayBeAskedAnew) {
      handle.askAnew({ create, update: null })
    }
    this.#claims.addOfHooks(handle)
    return handle
  }

  #newHandle(name: string, version: number, create: Create, update: ConfigUpdate | null): StateHandle {
    if (this.#handles.size >= PLUGIN_LIMITS.statesMax) {
      throw new RangeError(
        `Plugin "${this.#owner.name}" has ${this.#handles.size} states; keep what there are many of inside of one`,
      )
    }
    return new StateHandle(this, name, version, { create, update })
  }

  /** A middleware is about to be made of the one that is `from`'s. */
  beginUpdate(update: ConfigUpdate, from: Maker): void {
    this.#claims.begin(update, from)
  }

  /** Its middleware goes live in this turn; the others of its generation do too. */
  serve(maker: Maker): void {
    if (this.#isServing) this.#serving.clear()
    this.#isServing = false
    this.#serving.add(maker)
  }

  /** What only its middleware used goes: should a later one ask for it, it finds what those after this one have made of it. */
  ended(maker: Maker): void {
    this.#claims.end(maker)
    this.#letGoOfUnused()
  }

  #letGoOfUnused(): void {
    for (const [key, handle] of this.#handles) {
      if (this.#claims.isUsed(handle)) continue
      this.#handles.delete(key)
      this.#letGo(handle)
    }
  }

  /** Never throws; what was thrown is added to `errors`. */
  goLive(errors: GatewayError[]): void {
    if (this.#life === 'released') return
    this.#life = 'live'
    for (const handle of this.#handles.values()) {
      if (handle.cell !== null || !this.#mayBind(handle)) continue
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

  /** What is used by what serves is the newest of its name. */
  touch(commit: number): void {
    this.#isServing = true
    for (const handle of this.#handles.values()) {
      const { cell } = handle
      if (cell === null) continue
      if (this.#claims.isUsedBy(this.#serving, handle)) cell.lastCommit = commit
      else if (this.#claims.isUsedByHooks(handle))
        cell.lastCommit = Math.max(cell.lastCommit, commit - HOOKS_BEHIND)
    }
    // An update that has gone live has its own in place of it.
    this.#letGoOfUnused()
  }

  /** The cell of a handle that has none: what a hook asks for is made at once. */
  late(handle: StateHandle): Cell {
    const { name, version, failure } = handle
    if (this.#life === 'released') throw this.notLive(name, 'the instance has stopped')
    if (failure !== null) throw this.notLive(name, failure.message, failure)
    if (this.#mayBind(handle)) return this.#bind(handle, [])
    if (!handle.wasLive) {
      throw this.notLive(name, 'its generation is not live yet; use the value in hooks, not in PluginMain')
    }
    // A timer of a middleware that has stopped may still hold it.
    const again = this.#askedByHook(name, version, handle.asked.create)
    return again.cell ?? this.#bind(again, [])
  }

  notLive(name: string, reason: string, cause?: GatewayError): GatewayError {
    const message = `State "${name}" of plugin "${this.#owner.name}" has no value: ${reason}`
    return new GatewayError('STATE_NOT_LIVE', message, { cause, plugin: this.#owner.name })
  }

  release(): void {
    this.#life = 'released'
    for (const handle of this.#handles.values()) this.#letGo(handle)
    this.#handles.clear()
    this.#claims.clear()
  }

  #mayBind(handle: StateHandle): boolean {
    return this.#life === 'live' && this.#claims.isUsedLive(handle)
  }

  #bind(handle: StateHandle, errors: GatewayError[]): Cell {
    const cell = this.#store.hold(this.#owner, handle, errors)
    handle.cell = cell
    handle.wasLive = true
    handle.failure = null
    return cell
  }

  #letGo(handle: StateHandle): void {
    const { cell } = handle
    handle.cell = null
    if (cell !== null) this.#store.letGo(this.#owner.plugin, handle.name, cell)
  }
}

/** By whom a state that has not been made is asked for. */
interface Asked {
  readonly create: Create
  /** The update that does; null: what is live, or is started. */
  readonly update: ConfigUpdate | null
}

/** What a plugin holds of one state. */
class StateHandle implements State<unknown>, StateRequest {
  readonly name: string
  readonly version: number
  /** Null until its generation is live, and again when nobody uses it any more. */
  cell: Cell | null = null
  wasLive = false
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

  askAnew(asked: Asked): void {
    this.asked = asked
    this.failure = null
  }

  /** It has not been made, and only updates have asked for it. */
  get mayBeAskedAnew(): boolean {
    return this.cell === null && this.asked.update !== null
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

function keyOf(name: string, version: number): string {
  return `${version} ${name}`
}

function checkName(name: unknown): asserts name is string {
  if (typeof name !== 'string' || name === '' || name.includes('\0')) {
    throw new TypeError('A state needs a name: text that is not empty and holds no NUL')
  }
}
