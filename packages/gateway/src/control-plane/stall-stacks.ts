import type { Readable, Writable } from 'node:stream'
import type { BundlePlan, GenerationPlan } from '../protocol/generation.ts'
import type { StallStack } from '../protocol/supervisor-trial.ts'

export type StackMapper = (bundle: BundlePlan, error: Error) => string

/** More than twenty frames; plugin code could write to the pipe too. */
const LINE_BYTES_MAX = 64 * 1_024

/** What a process tells of where its event loop stands still. */
export class StallStacks {
  #text = ''
  #last: StallStack | null = null

  constructor(pipe: Readable | Writable | null) {
    if (pipe === null || !('setEncoding' in pipe)) return
    pipe.setEncoding('utf8')
    pipe.on('data', (text: string) => this.#read(text))
    // It ends with its process, which is watched otherwise.
    pipe.on('error', () => {})
  }

  /** As an error whose stack holds the frames of the plan's bundles; null when none was told for this trial. */
  of(id: number, plan: GenerationPlan, mapStack: StackMapper): Error | null {
    if (this.#last?.id !== id) return null
    const frames = this.#last.frames.split('\n').flatMap((frame) => mappedFrame(frame, plan, mapStack) ?? [])
    if (frames.length === 0) return null
    const error = new Error('The event loop stands still')
    error.stack = `${error.name}: ${error.message}\n${frames.join('\n')}`
    return error
  }

  #read(text: string): void {
    const lines = `${this.#text}${text}`.split('\n')
    this.#text = (lines.pop() ?? '').slice(0, LINE_BYTES_MAX)
    for (const line of lines) this.#last = parse(line) ?? this.#last
  }
}

function parse(line: string): StallStack | null {
  try {
    const { id, frames } = JSON.parse(line) as StallStack
    return typeof id === 'number' && typeof frames === 'string' ? { id, frames } : null
  } catch {
    return null
  }
}

/** Null for a frame that is no plugin's. */
function mappedFrame(frame: string, { bundles }: GenerationPlan, mapStack: StackMapper): string | null {
  const error = new Error()
  error.stack = frame
  for (const bundle of bundles) {
    const mapped = mapStack(bundle, error)
    if (mapped !== frame) return mapped
  }
  return null
}
