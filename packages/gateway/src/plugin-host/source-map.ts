import { dirname, resolve } from 'node:path'
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'

/** The parts of a bundle that its stack frames are mapped by. */
export interface MappedCode {
  /** What the frames name as their file. */
  readonly filename: string
  /** Source map as JSON text; its sources are relative to the folder of `entryFile`. */
  readonly sourceMap: string
  readonly entryFile: string
}

/**
 * Makes a function that rewrites stacks so that frames of `mapped` name the plugin's own files and lines.
 *
 * Node maps the stacks of modules, not those of `vm` code. All that takes time is done on the first stack and then kept:
 * most bundles never throw, and those that do, throw again.
 */
export function stackMapper(mapped: MappedCode): (stack: string) => string {
  const folder = dirname(mapped.entryFile)
  let known: { readonly frame: RegExp; readonly map: TraceMap } | null = null
  return (stack) => {
    if (!stack.includes(mapped.filename)) return stack
    known ??= {
      frame: new RegExp(`${escapeRegExp(mapped.filename)}:(\\d+):(\\d+)`, 'g'),
      map: new TraceMap(mapped.sourceMap),
    }
    const { frame, map } = known
    return stack.replace(frame, (_, line: string, column: string) => {
      // V8 counts columns from 1, source maps from 0.
      const at = originalPositionFor(map, { line: Number(line), column: Number(column) - 1 })
      if (at.source === null) return `${mapped.entryFile} (bundled):${line}:${column}`
      return `${resolve(folder, at.source)}:${at.line}:${at.column + 1}`
    })
  }
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
