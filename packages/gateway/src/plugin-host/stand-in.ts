import type { Log } from '@cardea/sdk'
import { GatewayError } from '../base/errors.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { StartedInstance } from './instance.ts'

/**
 * What a process that starts with a quarantined instance has in its place: none of the plugin's code is run, which could
 * block this event loop as well. Nobody calls it either, since the guards of quarantined instances let nothing through.
 */
export function standInFor(plan: InstancePlan, log: Log): StartedInstance {
  return {
    plan,
    log,
    middleware: {
      name: plan.name,
      handle() {
        throw new GatewayError('PLUGIN_QUARANTINED')
      },
    },
    mapStack: (error) => `${error.stack}`,
    frameOf: () => null,
    canUpdate: false,
    update() {
      return Promise.reject(new GatewayError('PLUGIN_QUARANTINED'))
    },
    goLive() {},
    retire() {},
    stop: async () => {},
  }
}
