import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { GatewayError, messageOf } from '../../base/errors.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { durableNames, syncFolder, writeDurably } from './durable-file.ts'
import { sealed, unsealed } from './sealed.ts'
import type { StoredGeneration } from './types.ts'

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
    return new RecordStore(folder, numbersOf(await durableNames(folder)))
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
    await writeDurably(this.#folder, name, sealed(record))
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
    this.#numbers = numbersOf(await durableNames(this.#folder))
  }

  fileOf(number: number): string {
    return join(this.#folder, nameOf(number))
  }

  async #takeBack(name: string, reason: unknown): Promise<void> {
    try {
      await rm(join(this.#folder, name), { force: true })
      // Until then the name may be on disk though its own sync failed, and its removal may not.
      await syncFolder(this.#folder)
    } catch (error) {
      throw new AggregateError(
        [reason, error],
        `${messageOf(reason)}; and ${name} cannot be taken back for certain (${messageOf(error)}), so the next start may take it for decided`,
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

function parseRecord(text: string, number: number, file: string): RecordRead {
  const damaged = (reason: string): RecordRead => ({ kind: 'damaged', file, reason })
  const read = unsealed(text)
  if (read.kind === 'damaged') return damaged(read.reason)
  const record = read.value as StoredGeneration
  return record.number === number ? { kind: 'found', record } : damaged(`it is that of ${record.number}`)
}
