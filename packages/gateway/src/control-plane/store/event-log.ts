import { type FileHandle, open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../base/errors.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { EVENT_LOG_LIMITS } from '../../config/limits.ts'
import { type ChangeCause, type ChangeReport, type ControlEvent, firstCause } from '../../protocol/control.ts'
import type { FaultEvent } from '../../protocol/faults.ts'

const NAME = 'events.jsonl'
const OLD_NAME = 'events.old.jsonl'

/** What is kept; traces are too many, and what a watcher was spared is nobody else's matter. */
export type KeptEvent = Exclude<ControlEvent, { readonly kind: 'trace' | 'skipped' }>

const KEPT_KINDS: readonly unknown[] = ['change', 'fault', 'decision', 'worker'] satisfies KeptEvent['kind'][]

/**
 * What happened, a JSON value a line, oldest first. Nothing depends on it, so nothing waits for it: it is appended
 * without fsync, and a disk that refuses costs events, never a change.
 */
export class EventLog implements AsyncDisposable {
  readonly #directory: string
  readonly #warn: (message: string) => void
  /** Oldest first. */
  readonly #recent: KeptEvent[]
  #file: FileHandle | null = null
  #fileBytes: number
  #waiting: string[] = []
  #waitingBytes = 0
  #writing: Promise<void> = Promise.resolve()
  #isWriting = false
  #hasWarned = false
  /** The last write failed, perhaps half way. */
  #isTorn = false

  private constructor(
    directory: string,
    warn: (message: string) => void,
    recent: KeptEvent[],
    fileBytes: number,
  ) {
    this.#directory = directory
    this.#warn = warn
    this.#recent = recent
    this.#fileBytes = fileBytes
  }

  /**
   * Never rejects: what cannot be read is not known.
   *
   * @param directory the `.cardea` folder, which is there
   * @param warn told once when events begin to be lost
   */
  static async open(directory: string, warn: (message: string) => void): Promise<EventLog> {
    const old = await tailOf(join(directory, OLD_NAME))
    const current = await tailOf(join(directory, NAME))
    const recent = [...eventsIn(old), ...eventsIn(current)].slice(-EVENT_LOG_LIMITS.recentMax)
    const size = await stat(join(directory, NAME)).then(
      ({ size: bytes }) => bytes,
      () => 0,
    )
    const log = new EventLog(directory, warn, recent, size)
    // After a crash the last line may be torn; the next one must not become part of it.
    if (current !== '' && !current.endsWith('\n')) log.#enqueue('\n')
    return log
  }

  /** Returns at once. */
  append(event: KeptEvent): void {
    // Nothing became of it, and a watcher can cause many of them.
    if (event.kind === 'change' && event.report.outcome === 'unchanged') return
    const kept = bounded(event)
    this.#recent.push(kept)
    if (this.#recent.length > EVENT_LOG_LIMITS.recentMax) this.#recent.shift()
    this.#enqueue(`${JSON.stringify(kept)}\n`)
  }

  /** Newest first; those of before a restart too. At most `EVENT_LOG_LIMITS.recentMax`. */
  recentEvents(limit: number): readonly KeptEvent[] {
    return limit <= 0 ? [] : this.#recent.slice(-limit).reverse()
  }

  /** The newest generation of those that recent events tell of as committed; 0: they tell of none. */
  get lastCommitted(): number {
    const numbers = this.#recent.map((event) =>
      event.kind === 'change' && event.report.outcome === 'committed' ? event.report.generation : 0,
    )
    return Math.max(0, ...numbers)
  }

  /** Waits for what was appended, and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing
    await this.#close()
  }

  #enqueue(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#waitingBytes + bytes > EVENT_LOG_LIMITS.waitingBytesMax) {
      this.#warnOnce('the disk takes them too slowly')
      return
    }
    this.#waiting.push(line)
    this.#waitingBytes += bytes
    if (!this.#isWriting) this.#writing = this.#writeAll()
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true
    while (this.#waiting.length > 0) {
      const text = this.#waiting.join('')
      this.#waiting = []
      this.#waitingBytes = 0
      try {
        await this.#write(text)
        this.#hasWarned = false
      } catch (error) {
        this.#warnOnce(messageOf(error))
        await this.#file?.close().catch(() => undefined)
        this.#file = null
      }
    }
    this.#isWriting = false
  }

  async #write(text: string): Promise<void> {
    if (this.#fileBytes >= EVENT_LOG_LIMITS.fileBytesMax) await this.#rotate()
    // Somebody removed it, perhaps with all of the folder: what goes into it now nobody would ever read.
    if (this.#file !== null && (await this.#file.stat()).nlink === 0) {
      await this.#close()
      this.#fileBytes = 0
    }
    this.#file ??= await open(join(this.#directory, NAME), 'a', 0o600)
    const whole = this.#isTorn ? `\n${text}` : text
    this.#isTorn = true
    await this.#file.appendFile(whole)
    this.#isTorn = false
    this.#fileBytes += Buffer.byteLength(whole)
  }

  async #close(): Promise<void> {
    await this.#file?.close()
    this.#file = null
  }

  async #rotate(): Promise<void> {
    await this.#close()
    await rename(join(this.#directory, NAME), join(this.#directory, OLD_NAME)).catch((error) => {
      if (systemErrorCode(error) !== 'ENOENT') throw error
    })
    this.#fileBytes = 0
  }

  #warnOnce(reason: string): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    this.#warn(`Events cannot be kept in ${join(this.#directory, NAME)}: ${reason}`)
  }
}

/** The end of a file, enough for the recent events; '' when there is none. */
async function tailOf(path: string): Promise<string> {
  try {
    await using handle = await open(path, 'r')
    const { size } = await handle.stat()
    const length = Math.min(size, EVENT_LOG_LIMITS.tailBytesMax)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length)
    return buffer.toString('utf8', 0, bytesRead)
  } catch {
    return ''
  }
}

/** A line that is torn, or was never one of ours, is passed over. */
function eventsIn(text: string): KeptEvent[] {
  return text.split('\n').flatMap((line) => {
    try {
      const event: unknown = JSON.parse(line)
      return isEvent(event) ? [event] : []
    } catch {
      return []
    }
  })
}

function isEvent(value: unknown): value is KeptEvent {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false
  return KEPT_KINDS.includes(value.kind) && (value.kind !== 'change' || 'report' in value)
}

/** The event, without its details where they are too long: the problems of a thousand plugins need not be kept. */
function bounded(event: KeptEvent): KeptEvent {
  if (Buffer.byteLength(JSON.stringify(event)) <= EVENT_LOG_LIMITS.eventBytesMax) return event
  if (event.kind === 'change') return { kind: 'change', report: shortened(event.report) }
  if (event.kind !== 'fault') return { ...event, text: cut(event.text) }
  return { ...event, fault: shortenedFault(event.fault) }
}

const LISTED_MAX = 10
const SENTENCE_CHARS_MAX = 400

function shortened(report: ChangeReport): ChangeReport {
  const { cause } = report
  return {
    ...report,
    cause: shortenedCause(cause),
    changes: few(report.changes).map(cut),
    started: few(report.started).map(cut),
    carried: typeof report.carried === 'number' ? report.carried : report.carried.length,
    stages: few(report.stages),
    problems: few(report.problems).map((problem) => ({
      ...problem,
      message: cut(problem.message),
      frame: null,
      stack: null,
    })),
    held: few(report.held).map((loss) => ('reason' in loss ? { ...loss, reason: cut(loss.reason) } : loss)),
    notices: few(report.notices).map(cut),
    heldBack: few(report.heldBack ?? []),
  }
}

function shortenedCause(cause: ChangeCause): ChangeCause {
  const first = firstCause(cause)
  if (first.kind !== 'files') return cause
  const files = { ...first, files: few(first.files).map(cut) }
  return cause.kind === 'approve' ? { ...cause, of: files } : files
}

function shortenedFault(fault: FaultEvent): FaultEvent {
  if (fault.kind === 'stall') return { ...fault, frames: few(fault.frames).map(cut), frame: null }
  if (fault.kind === 'breaker') return fault
  return {
    ...fault,
    failure: { ...fault.failure, message: cut(fault.failure.message), stack: null, frame: null },
  }
}

function cut(text: string): string {
  return text.slice(0, SENTENCE_CHARS_MAX)
}

function few<Item>(items: readonly Item[]): readonly Item[] {
  return items.slice(0, LISTED_MAX)
}
