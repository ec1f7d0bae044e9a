import type { PreviousState, State } from '@cardea/sdk'
import { GatewayError } from '../../base/errors.ts'
import { PLUGIN_LIMITS } from '../../config/limits.ts'
import { type ConfigUpdate, updateAtWork } from '../config-update.ts'
import type { Cell, StateOwner, StateRequest, StateStore } from './states.ts'

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
  readonly create: StateRequest['create']
  /** The update that does; null: what is live, or is started. */
  readonly update: ConfigUpdate | null
}

/** What a plugin holds of one state. */
class StateHandle implements State<unknown>, StateRequest {
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
