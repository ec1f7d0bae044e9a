import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../base/errors.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { makeFolder, syncFolder, writeDurably } from './durable-file.ts'
import { sealed, unsealed } from './sealed.ts'
import type { GenerationOutline, StoreDamage } from './types.ts'

const NAME = 'outline.record'

/**
 * The outline of the generation that was committed last, in one file beside the records: whatever else of that
 * generation is damaged, here still stands which of its requests met which security plugins.
 */
export class OutlineFile {
  readonly #folder: string
  #outline: GenerationOutline | null = null
  #damage: StoreDamage | null = null
  /** What stands in the file. */
  #text = ''

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** `folder`: the `.cardea` folder, which is there. */
  static async open(folder: string): Promise<OutlineFile> {
    // Who wrote the outline that stands there may have been killed before its name was durable.
    await syncFolder(folder)
    const outline = new OutlineFile(folder)
    await outline.#read()
    return outline
  }

  /** Null when there is none that can be read. */
  get outline(): GenerationOutline | null {
    return this.#outline
  }

  /** There is one, and it cannot be read. */
  get damage(): StoreDamage | null {
    return this.#damage
  }

  async write(outline: GenerationOutline): Promise<void> {
    const text = sealed(outline)
    if (text === this.#text) return
    // What stands there meanwhile is of an older generation, and its number says so.
    await writeDurably(this.#folder, NAME, text).catch(async (error) => {
      if (systemErrorCode(error) !== 'ENOENT') throw error
      await makeFolder(this.#folder)
      await writeDurably(this.#folder, NAME, text)
    })
    await syncFolder(this.#folder)
    this.#outline = outline
    this.#damage = null
    this.#text = text
  }

  async #read(): Promise<void> {
    const file = join(this.#folder, NAME)
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') this.#isDamaged(file, `it cannot be read: ${messageOf(error)}`)
      return
    }
    const read = unsealed(text)
    if (read.kind === 'damaged') return this.#isDamaged(file, read.reason)
    this.#outline = read.value as GenerationOutline
    this.#text = text
  }

  #isDamaged(file: string, reason: string): void {
    const message = `Cannot use the outline of the generation that was committed last, ${file}: ${reason}.`
    this.#damage = { file, message }
  }
}
