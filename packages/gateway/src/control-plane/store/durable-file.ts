import { randomUUID } from 'node:crypto'
import { closeSync, fdatasync, fsync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

/**
 * Writing that survives power failure: what has its name has its whole content.
 *
 * Only what waits for the disk is left to other threads. The rest is done at once: it goes to the kernel's memory in a few
 * microseconds, where the way to another thread and back takes a hundred, on cores that requests need.
 */

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
    renameSync(temporary, join(folder, name))
  } catch (error) {
    removeLeftover(temporary)
    throw error
  }
}

async function writeSynced(file: string, text: string | Buffer): Promise<void> {
  const descriptor = openSync(file, 'wx', FILE_MODE)
  try {
    writeFileSync(descriptor, text)
    await promisify(fdatasync)(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function removeLeftover(temporary: string): void {
  try {
    rmSync(temporary, { force: true })
  } catch {
    // The next start removes it.
  }
}

/** Makes the names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders, and keeps names durable by itself.
  if (process.platform === 'win32') return
  const descriptor = openSync(folder, 'r')
  try {
    await promisify(fsync)(descriptor)
  } finally {
    closeSync(descriptor)
  }
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

/**
 * The names in a folder, which is made if need be, but for what interrupted writes left there: that goes. They are durable:
 * who gave them may have been killed before they were, and what is built on them must not outlive them.
 */
export async function durableNames(folder: string): Promise<string[]> {
  await makeFolder(folder)
  await syncFolder(folder)
  const names = await readdir(folder)
  const leftovers = names.filter((name) => name.endsWith(TEMPORARY_SUFFIX))
  await Promise.all(leftovers.map((name) => rm(join(folder, name), { force: true })))
  return names.filter((name) => !name.endsWith(TEMPORARY_SUFFIX))
}
