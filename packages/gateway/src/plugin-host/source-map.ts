import { dirname, resolve, sep } from 'node:path'
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import { codeFrame } from '../config/render-problems.ts'
import { mappedTexts } from '../config/source-text.ts'
import type { Position } from '../config/types.ts'

/** The parts of a bundle that its stack frames are mapped by. */
export interface MappedCode {
  /** What the frames name as their file. */
  readonly filename: string
  /** Source map as JSON text; its sources are relative to the folder of `entryFile`. */
  readonly sourceMap: string
  readonly entryFile: string
}

/** Brings what frames say of a bundle back to the plugin's own files. */
export interface StackMapper {
  /** Rewrites a stack so that its frames name the plugin's own files and lines. */
  map(stack: string): string
  /**
   * The line that the topmost frame of the plugin's own points to, with a caret below it, as it was when it was compiled:
   * the file may have changed since. Of a stack that was mapped; null when none of its frames is in one of these files.
   */
  frameOf(stack: string): string | null
}

interface KnownMap {
  readonly frame: RegExp
  readonly map: TraceMap
  /** The text of the plugin's own files by their absolute paths. */
  readonly texts: ReadonlyMap<string, string>
}

/** Node's own limit is ten; who raises it has no frame further down. */
const FRAMES_LOOKED_AT_MAX = 50

/**
 * Node maps the stacks of modules, not those of `vm` code. All that takes time is done on the first stack and then kept:
 * most bundles never throw, and those that do, throw again.
 */
export function stackMapper(mapped: MappedCode): StackMapper {
  const folder = dirname(mapped.entryFile)
  let opened: KnownMap | null = null
  const known = (): KnownMap => {
    opened ??= openMap(mapped, folder)
    return opened
  }
  return {
    map(stack) {
      if (!stack.includes(mapped.filename)) return stack
      const { frame, map } = known()
      return stack.replace(frame, (_, line: string, column: string) => {
        // V8 counts columns from 1, source maps from 0.
        const at = originalPositionFor(map, { line: Number(line), column: Number(column) - 1 })
        if (at.source === null) return `${mapped.entryFile} (bundled):${line}:${column}`
        return `${resolve(folder, at.source)}:${at.line}:${at.column + 1}`
      })
    },
    frameOf(stack) {
      if (!stack.includes(`${folder}${sep}`)) return null
      const { texts } = known()
      const frames = stack.split('\n').filter((line) => /^\s+at /.test(line))
      for (const frame of frames.slice(0, FRAMES_LOOKED_AT_MAX)) {
        const place = placeIn(frame, texts)
        if (place === null) continue
        return codeFrame(place, (file) => texts.get(file) ?? null)?.join('\n') ?? null
      }
      return null
    },
  }
}

function openMap({ filename, sourceMap }: MappedCode, folder: string): KnownMap {
  const map = new TraceMap(sourceMap)
  return {
    frame: new RegExp(`${escapeRegExp(filename)}:(\\d+):(\\d+)`, 'g'),
    map,
    texts: mappedTexts(map, folder),
  }
}

function placeIn(frame: string, texts: KnownMap['texts']): Position | null {
  for (const file of texts.keys()) {
    const start = frame.indexOf(`${file}:`)
    const found = start < 0 ? null : /^:(\d+):(\d+)/.exec(frame.slice(start + file.length))
    if (found !== null) return { file, line: Number(found[1]), column: Number(found[2]) }
  }
  return null
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
