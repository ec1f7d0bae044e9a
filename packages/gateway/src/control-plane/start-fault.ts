import { dirname, sep } from 'node:path'
import { GatewayError } from '../base/errors.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import type { PluginFault } from '../protocol/plugin-state.ts'

export interface StartFault {
  /** Of the plugin whose fault it is. */
  readonly folder: string
  readonly fault: PluginFault
}

/**
 * What a worker threw when it started the plan's instances, as a fault of a plugin; null when it was none's. Its place
 * is the topmost line of the stack that is the plugin's own, or the entry file as such: a deadline that passed has no
 * line.
 */
export function startFaultOf(plan: GenerationPlan, thrown: unknown): StartFault | null {
  if (!(thrown instanceof GatewayError) || thrown.plugin === null) return null
  const { code, message, plugin: culprit, cause } = thrown
  // Code that does not even load is no instance's; then the plugin itself is named. An instance never has the name of
  // another plugin.
  const instance = plan.instances.find(({ name, plugin }) => name === culprit || plugin === culprit)
  const bundle = plan.bundles.find(({ codeHash }) => codeHash === instance?.codeHash)
  if (bundle === undefined) return null
  const folder = dirname(bundle.entryFile)
  const place = topmostLine(cause instanceof Error ? (cause.stack ?? '') : '', folder)
  return {
    folder,
    fault: { code, message, ...(place ?? { file: bundle.entryFile, line: 1, column: 1 }) },
  }
}

function topmostLine(stack: string, folder: string): Omit<PluginFault, 'code' | 'message'> | null {
  for (const frame of stack.split('\n')) {
    if (!/^\s+at /.test(frame)) continue
    const start = frame.indexOf(`${folder}${sep}`)
    const found = start < 0 ? null : /^(.+):(\d+):(\d+)\)?$/.exec(frame.slice(start))
    // A line of the bundle that stands in no file of the plugin.
    if (found?.[1] === undefined || found[1].endsWith(' (bundled)')) continue
    return { file: found[1], line: Number(found[2]), column: Number(found[3]) }
  }
  return null
}
