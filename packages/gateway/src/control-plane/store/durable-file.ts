import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Writing that survives power failure: what has its name has its whole content. */

const TEMPORARY_SUFFIX = '.tmp'
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700

/**
 * Writes `text` to `name` in `folder`: to a temporary name, fsynced, then renamed. After a crash at any moment either
 * the whole file has the name or none has. That the name itself survives takes a `syncFolder` afterwards.
 */
export async function writeDurably(folder: string, name: string, text: string | Buffer): Promise<void> {
  const temporary = join(folder, `${randomUUID()}${TEMPORARY_SUFFIX}`)
  try {
    await writeSynced(temporary, text)
    await rename(temporary, join(folder, name))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw error
  }
}

async function writeSynced(file: string, text: string | Buffer): Promise<void> {
  await using handle = await open(file, 'wx', FILE_MODE)
  await handle.writeFile(text)
  await handle.datasync()
}

/** Makes the names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await openFolder(folder)
  // Windows cannot open folders, and keeps names durable by itself.
  await handle?.sync()
}

async function openFolder(folder: string): Promise<FileHandle | null> {
  return process.platform === 'win32' ? null : open(folder, 'r')
}

/** Makes a folder that only this user may enter, and its name durable; one that is there stays as it is. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: FOLDER_MODE })
  if (first === undefined) return
  for (let made = folder; ; made = dirname(made)) {
    await syncFolder(dirname(made))
    if (made === first || made === dirname(made)) return
  }
}

/** The names in a folder, but for what interrupted writes left there: that goes. */
export async function namesWithoutLeftovers(folder: string): Promise<string[]> {
  const names = await readdir(folder)
  const leftovers = names.filter((name) => name.endsWith(TEMPORARY_SUFFIX))
  await Promise.all(leftovers.map((name) => rm(join(folder, name), { force: true })))
  return names.filter((name) => !name.endsWith(TEMPORARY_SUFFIX))
}
