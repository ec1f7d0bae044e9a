import assert from 'node:assert/strict'
import type { GatewayError } from '../../base/errors.ts'
import { instancePlan } from '../../protocol/test-plans.ts'
import type { ConfigUpdate, Maker } from '../config-update.ts'
import { recordingLog } from '../test-support.ts'
import { StateUser } from './state-user.ts'
import { type StateOwner, StateStore } from './states.ts'

/** For the tests of states only. */

export interface Bench {
  readonly store: StateStore
  readonly lines: ReturnType<typeof recordingLog>['lines']
  /** The steps that the store announced. */
  readonly steps: string[]
  user(name?: string, plugin?: string): StateUser
}

export function bench(): Bench {
  const steps: string[] = []
  const store = new StateStore((instance, state) => void steps.push(`${instance}: ${state}`))
  const { log, lines } = recordingLog()
  const user = (name = 'limit', plugin = 'limit'): StateUser => {
    const owner: StateOwner = { plugin, name, log, mapStack: (error) => `mapped ${error.message}` }
    return new StateUser(store, owner)
  }
  return { store, lines, steps, user }
}

/** An update of the middleware that is `from`'s. */
export function begin(user: StateUser, from: Maker = null): ConfigUpdate {
  const update = { plan: instancePlan({ id: 1 }), wentLive: false, isGivenUp: false }
  user.beginUpdate(update, from)
  return update
}

/** It goes live. Returns what `create` threw. */
export function serve(store: StateStore, user: StateUser, update: ConfigUpdate): readonly GatewayError[] {
  update.wentLive = true
  user.serve(update)
  return store.goLive([user])
}

export function giveUp(user: StateUser, update: ConfigUpdate): void {
  update.isGivenUp = true
  user.ended(update)
}

export const never = (): never => assert.fail('create() was called')
