import { hash as digest } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { GatewayError, messageOf } from '../../base/errors.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { durableNames, syncFolder, writeDurably } from './durable-file.ts'
import type { Blob } from './types.ts'

/** Blobs that are written at one time. */
const WRITES_AT_ONCE_MAX = 8

export function sha256(content: string | Uint8Array): string {
  return digest('sha256', content)
}

export function blobOf(text: string): Blob {
  return { hash: sha256(text), text }
}

/** Texts by their SHA-256, one file each. A file is written once and never changed, so equal texts take room once. */
export class BlobStore {
  readonly #folder: string
  readonly #present: Set<string>
  /** Those whose content was seen to be intact: written, or read, by this process. */
  readonly #intact = new Set<string>()

  private constructor(folder: string, present: Set<string>) {
    this.#folder = folder
    this.#present = present
  }

  static async open(folder: string): Promise<BlobStore> {
    return new BlobStore(folder, new Set(await durableNames(folder)))
  }

  get hashes(): ReadonlySet<string> {
    return this.#present
  }

  /**
   * Makes the blobs durable. One that is there already is not written again, unless its file turns out damaged. Returns whether
   * any had to be written.
   */
  async write(blobs: readonly Blob[]): Promise<boolean> {
    const missing: Blob[] = []
    for (const blob of blobs) {
      if (!this.#intact.has(blob.hash) && !(await this.#isIntact(blob.hash))) missing.push(blob)
    }
    if (missing.length === 0) return false
    const wrong = missing.find(({ hash, text }) => sha256(text) !== hash)
    if (wrong !== undefined)
      throw new Error(`Cannot store a blob under ${wrong.hash}: its text has another hash`)
    for (let start = 0; start < missing.length; start += WRITES_AT_ONCE_MAX) {
      const group = missing.slice(start, start + WRITES_AT_ONCE_MAX)
      await Promise.all(group.map(({ hash, text }) => writeDurably(this.#folder, hash, text)))
    }
    await syncFolder(this.#folder)
    for (const { hash } of missing) {
      this.#present.add(hash)
      this.#intact.add(hash)
    }
    return true
  }

  /** The same, and believes nothing of what it saw of them before: one of them is damaged since. */
  async mend(blobs: readonly Blob[]): Promise<boolean> {
    for (const { hash } of blobs) this.#intact.delete(hash)
    return this.write(blobs)
  }

  /** Throws `STORE_DAMAGED` when the file is not there, or does not hold what its name says. */
  async read(hash: string, what: string): Promise<string> {
    const file = join(this.#folder, hash)
    let content: Buffer
    try {
      content = await readFile(file)
    } catch (cause) {
      this.#intact.delete(hash)
      const reason =
        systemErrorCode(cause) === 'ENOENT' ? 'is missing' : `cannot be read: ${messageOf(cause)}`
      throw damaged(`Cannot load ${what}: its file ${file} ${reason}.`, cause)
    }
    if (sha256(content) !== hash) {
      this.#intact.delete(hash)
      throw damaged(`Cannot load ${what}: its file ${file} is damaged; its content does not have that hash.`)
    }
    this.#intact.add(hash)
    return content.toString('utf8')
  }

  /** Believes nothing of what it saw before: somebody deleted the folder. */
  async recreate(): Promise<void> {
    const names = await durableNames(this.#folder)
    this.#present.clear()
    this.#intact.clear()
    for (const hash of names) this.#present.add(hash)
  }

  /** Deletes a blob. A crash in between leaves it, to be deleted the next time. */
  async remove(hash: string): Promise<void> {
    this.#present.delete(hash)
    this.#intact.delete(hash)
    await rm(join(this.#folder, hash), { force: true })
  }

  /** A file of that name may be from before a disk error; the first use in this process looks into it. */
  async #isIntact(hash: string): Promise<boolean> {
    if (!this.#present.has(hash)) return false
    try {
      await this.read(hash, 'a blob')
      return true
    } catch {
      return false
    }
  }
}

function damaged(message: string, cause?: unknown): GatewayError {
  const wayOut = 'Roll back to another generation, or save the files anew.'
  return new GatewayError('STORE_DAMAGED', `${message} ${wayOut}`, cause === undefined ? {} : { cause })
}
