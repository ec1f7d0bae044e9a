import type { Log, Sink, SinkOptions } from '@cardea/sdk'
import type { NodeClock } from '../../base/node-clock.ts'
import { SINK_LIMITS } from '../../config/limits.ts'
import type { NodeRequest, SinkRotation } from '../../protocol/node-services.ts'
import { type LineFiles, STDOUT } from './line-file.ts'
import { SinkFile } from './sink-file.ts'

export interface SinkClientOptions {
  readonly files: LineFiles
  readonly clock: NodeClock
  readonly log: Log
  send(request: NodeRequest): void
}

interface OpenFile {
  readonly file: SinkFile
  rotation: SinkRotation
  users: number
}

/** Folders and names that begin with a letter, a digit or `_`: none of them is `..`, hidden or absolute. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/
/** Names that rotation gives. */
const ROTATED = /\.\d+$/

/** The files that this worker appends to. Instances that name the same file share it. */
export class SinkClient {
  readonly #options: SinkClientOptions
  readonly #files = new Map<string, OpenFile>()
  /** Nobody writes to them any more, but their last lines are not written yet. */
  readonly #closing = new Map<SinkFile, Promise<void>>()

  constructor(options: SinkClientOptions) {
    this.#options = options
  }

  /** `close` gives the file back once its lines are written. Throws TypeError or RangeError on what cannot be. */
  open(name: string, options: SinkOptions = {}): { readonly sink: Sink; close(): void } {
    checkName(name)
    const open = this.#files.get(name) ?? this.#add(name)
    const rotation = rotationOf(options, open.rotation)
    const isNew = open.users === 0
    open.users += 1
    if (isNew || !isEqual(rotation, open.rotation)) {
      open.rotation = rotation
      this.#announce(name, rotation)
    }
    let isClosed = false
    return {
      sink: {
        write(line) {
          if (typeof line !== 'string') throw new TypeError(`A line is a string, not ${typeof line}`)
          return !isClosed && open.file.write(line)
        },
        get dropped() {
          return open.file.dropped
        },
      },
      close: () => {
        if (isClosed) return
        isClosed = true
        open.users -= 1
        if (open.users > 0) return
        this.#files.delete(name)
        const closing = open.file.close().finally(() => this.#closing.delete(open.file))
        this.#closing.set(open.file, closing)
      },
    }
  }

  hello(): void {
    for (const [name, { file, rotation }] of this.#files) {
      this.#announce(name, rotation)
      // Its predecessor may have renamed the file and died before it said so.
      if (name !== STDOUT) file.reopen()
    }
  }

  reopen(name: string): void {
    this.#files.get(name)?.file.reopen()
  }

  reopenAll(): void {
    for (const name of this.#files.keys()) if (name !== STDOUT) this.reopen(name)
  }

  async flush(): Promise<void> {
    const open = [...this.#files.values()].map(({ file }) => file.flush())
    await Promise.all([...open, ...this.#closing.values()])
  }

  flushSync(): void {
    for (const { file } of this.#files.values()) file.flushSync()
    for (const file of this.#closing.keys()) file.flushSync()
  }

  #add(name: string): OpenFile {
    if (this.#files.size >= SINK_LIMITS.filesMax) {
      throw new RangeError(`A worker writes to at most ${SINK_LIMITS.filesMax} files of host.sink`)
    }
    const { files, clock, log } = this.#options
    const open = { file: new SinkFile({ name, files, clock, log }), rotation: DEFAULT_ROTATION, users: 0 }
    this.#files.set(name, open)
    return open
  }

  #announce(file: string, rotation: SinkRotation): void {
    if (file !== STDOUT) this.#options.send({ kind: 'sink-open', file, rotation })
  }
}

const DEFAULT_ROTATION: SinkRotation = {
  bytesMax: SINK_LIMITS.rotateBytesDefault,
  periodMs: 0,
  keep: SINK_LIMITS.keepDefault,
}

function checkName(name: string): void {
  if (name === STDOUT) return
  if (typeof name !== 'string' || name.length > SINK_LIMITS.nameUnitsMax || !NAME.test(name)) {
    throw new TypeError(
      `"${String(name).slice(0, SINK_LIMITS.nameUnitsMax)}" is not a file of the logs folder; use letters, digits, ` +
        `"_", "-" and ".", with "/" between folders, at most ${SINK_LIMITS.nameUnitsMax} characters, or "-" for stdout`,
    )
  }
  if (ROTATED.test(name)) {
    throw new TypeError(`"${name}" has the name of a rotated file; leave the number out`)
  }
}

function rotationOf({ rotateBytes, rotatePeriodMs, keep }: SinkOptions, before: SinkRotation): SinkRotation {
  if (rotateBytes !== undefined && !(Number.isSafeInteger(rotateBytes) && rotateBytes >= 0)) {
    throw new RangeError(`rotateBytes cannot be ${rotateBytes}; use a whole number from 0`)
  }
  const { rotatePeriodMsMin } = SINK_LIMITS
  if (
    rotatePeriodMs !== undefined &&
    rotatePeriodMs !== 0 &&
    !(Number.isSafeInteger(rotatePeriodMs) && rotatePeriodMs >= rotatePeriodMsMin)
  ) {
    throw new RangeError(
      `rotatePeriodMs cannot be ${rotatePeriodMs}; use 0 or a whole number from ${rotatePeriodMsMin}`,
    )
  }
  if (keep !== undefined && !(Number.isInteger(keep) && keep >= 0 && keep <= SINK_LIMITS.keepMax)) {
    throw new RangeError(`keep cannot be ${keep}; use a whole number from 0 to ${SINK_LIMITS.keepMax}`)
  }
  return {
    bytesMax: rotateBytes ?? before.bytesMax,
    periodMs: rotatePeriodMs ?? before.periodMs,
    keep: keep ?? before.keep,
  }
}

function isEqual(a: SinkRotation, b: SinkRotation): boolean {
  return a.bytesMax === b.bytesMax && a.periodMs === b.periodMs && a.keep === b.keep
}
