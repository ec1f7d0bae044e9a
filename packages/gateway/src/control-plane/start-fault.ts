import { dirname, sep } from 'node:path'
import { GatewayError } from '../base/errors.ts'
import { codeFrame } from '../config/render-problems.ts'
import { mappedTexts } from '../config/source-text.ts'
import type { Position } from '../config/types.ts'
import type { BundlePlan, GenerationPlan } from '../protocol/generation.ts'
import type { PluginFault } from '../protocol/plugin-state.ts'

export interface StartFault {
  /** Of the plugin whose fault it is. */
  readonly folder: string
  readonly fault: PluginFault
  /**
   * The line of the fault with a caret below it, as it was when it was compiled: what ran may be stored, and its files say
   * something else by now. Null when that text is not kept.
   */
  readonly frame: string | null
}

/**
 * What a worker threw when it started the plan's instances, as a fault of a plugin; null when it was none's. Its place
 * is the topmost line of the stack that is the plugin's own, or where its entry point is exported: a deadline that passed,
 * and what is wrong with what a function returned, have no line.
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
  const texts = textsOf(bundle, folder)
  const lines = linesIn(cause instanceof Error ? (cause.stack ?? '') : '', folder)
  // A library of the plugin's is in its folder too, and its text is not kept.
  const place =
    lines.find(({ file }) => texts.has(file)) ??
    lines[0] ??
    entryPointIn(bundle.entryFile, texts.get(bundle.entryFile), instance?.entryPoint)
  const frame = codeFrame(place, (file) => texts.get(file) ?? null)
  return { folder, fault: { code, message, ...place }, frame: frame?.join('\n') ?? null }
}

/** The first line of a file that exports nothing of this name, or in another way. */
function entryPointIn(file: string, text: string | undefined, name: string | undefined): Position {
  const start = { file, line: 1, column: 1 }
  if (text === undefined || name === undefined) return start
  const found = new RegExp(
    `^export (?:default )?(?:async )?(?:function|const|let|var|class)\\*? +(?=${RegExp.escape(name)}(?![\\w$]))`,
    'm',
  ).exec(text)
  if (found === null) return start
  const line = text.slice(0, found.index).split('\n').length
  return { file, line, column: found[0].length + 1 }
}

function textsOf({ sourceMap }: BundlePlan, folder: string): ReadonlyMap<string, string> {
  try {
    return mappedTexts(JSON.parse(sourceMap), folder)
  } catch {
    return new Map()
  }
}

function linesIn(stack: string, folder: string): Position[] {
  return stack.split('\n').flatMap((frame) => {
    if (!/^\s+at /.test(frame)) return []
    const start = frame.indexOf(`${folder}${sep}`)
    const found = start < 0 ? null : /^(.+):(\d+):(\d+)\)?$/.exec(frame.slice(start))
    // A line of the bundle that stands in no file of the plugin.
    if (found?.[1] === undefined || found[1].endsWith(' (bundled)')) return []
    return [{ file: found[1], line: Number(found[2]), column: Number(found[3]) }]
  })
}
