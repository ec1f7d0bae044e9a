import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { GatewayError, messageOf } from '../../base/errors.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { sha256 } from './blobs.ts'
import { makeFolder, namesWithoutLeftovers, syncFolder, writeDurably } from './durable-file.ts'
import type { StoredGeneration } from './types.ts'

/** Counts up when a record's form changes such that an older Cardea must not read it. */
const FORMAT = 1
const NAME = /^([1-9][0-9]{0,14})\.record$/

export type RecordRead =
  | { readonly kind: 'found'; readonly record: StoredGeneration }
  | { readonly kind: 'absent' }
  | { readonly kind: 'damaged'; readonly file: string; readonly reason: string }

/**
 * One file for each generation. That `N.record` has its name is the decision for N: it gets it by one rename, after its
 * content, which carries its own hash, is on disk.
 */
export class RecordStore {
  readonly #folder: string
  /** Ascending. */
  #numbers: number[]

  private constructor(folder: string, numbers: number[]) {
    this.#folder = folder
    this.#numbers = numbers
  }

  static async open(folder: string): Promise<RecordStore> {
    await makeFolder(folder)
    return new RecordStore(folder, numbersOf(await namesWithoutLeftovers(folder)))
  }

  /** Ascending; damaged ones too, whose numbers are not given again. */
  get numbers(): readonly number[] {
    return this.#numbers
  }

  /**
   * Decides for a generation. Once it resolved the decision outlives a power failure; when it rejects there is none,
   * also not after a crash, unless the disk refuses to take the name back too: then the message says so.
   */
  async write(record: StoredGeneration): Promise<void> {
    const newest = this.#numbers.at(-1) ?? 0
    if (!Number.isSafeInteger(record.number) || record.number <= newest) {
      const message = `Cannot decide generation ${record.number}: generation ${newest} is decided already`
      throw new GatewayError('INTERNAL_ERROR', message)
    }
    const name = nameOf(record.number)
    await writeDurably(this.#folder, name, textOf(record))
    try {
      await syncFolder(this.#folder)
    } catch (error) {
      await this.#takeBack(name, error)
      throw error
    }
    this.#numbers.push(record.number)
  }

  async read(number: number): Promise<RecordRead> {
    const file = this.fileOf(number)
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return { kind: 'absent' }
      return { kind: 'damaged', file, reason: `it cannot be read: ${messageOf(error)}` }
    }
    return parseRecord(text, number, file)
  }

  async remove(number: number): Promise<void> {
    this.#numbers = this.#numbers.filter((known) => known !== number)
    await rm(this.fileOf(number), { force: true })
  }

  /** After somebody deleted the folder. */
  async recreate(): Promise<void> {
    await makeFolder(this.#folder)
    this.#numbers = numbersOf(await namesWithoutLeftovers(this.#folder))
  }

  fileOf(number: number): string {
    return join(this.#folder, nameOf(number))
  }

  async #takeBack(name: string, reason: unknown): Promise<void> {
    try {
      await rm(join(this.#folder, name), { force: true })
    } catch (error) {
      throw new AggregateError(
        [reason, error],
        `${messageOf(reason)}; and ${name} cannot be taken back (${messageOf(error)}), so the next start will take it for decided`,
      )
    }
  }
}

function nameOf(number: number): string {
  return `${number}.record`
}

function numbersOf(names: readonly string[]): number[] {
  return names
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
}

/** A line that says what follows, and the record. */
function textOf(record: StoredGeneration): string {
  const body = JSON.stringify(record)
  return `${JSON.stringify({ format: FORMAT, sha256: sha256(body) })}\n${body}\n`
}

function parseRecord(text: string, number: number, file: string): RecordRead {
  const damaged = (reason: string): RecordRead => ({ kind: 'damaged', file, reason })
  const [head = '', body = '', rest] = text.split('\n')
  const { format, hash } = parseHead(head)
  if (format !== null && format > FORMAT) return damaged('a newer version of Cardea wrote it')
  if (format !== FORMAT || rest !== '') return damaged('it is not whole')
  if (hash !== sha256(body)) return damaged('its content does not have the hash that it names')
  const record: StoredGeneration = JSON.parse(body)
  return record.number === number ? { kind: 'found', record } : damaged(`it is that of ${record.number}`)
}

function parseHead(line: string): { readonly format: number | null; readonly hash: unknown } {
  try {
    const { format, sha256: hash } = JSON.parse(line)
    return { format: Number.isInteger(format) ? format : null, hash }
  } catch {
    return { format: null, hash: null }
  }
}
