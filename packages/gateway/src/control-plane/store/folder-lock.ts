import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GatewayError, messageOf } from '../../base/errors.ts'
import { identityOf, isRunning, type ProcessIdentity } from '../../base/process-identity.ts'
import { systemErrorCode } from '../../base/system-error.ts'
import { makeFolder } from './durable-file.ts'

/**
 * One gateway a folder. The lock is a folder `lock.N` that names its holder; the highest N counts. Nobody takes a lock
 * away: who finds that the holder is dead makes `lock.N+1`, which of two only one can. So it needs no clean end, and no
 * moment to die in leaves it in between.
 */

const NAME = /^lock\.([1-9][0-9]{0,14})$/
const TEMPORARY = /^lock\..*\.tmp$/
const HOLDER_FILE = 'holder.json'
/** Each further attempt means that somebody else came first; they cannot all fail to be alive. */
const ATTEMPTS_MAX = 100

/**
 * Takes the folder for the gateway whose master has this process number; it is held until that process ends. A
 * supervisor that was started anew takes it again. Throws `STORE_LOCKED` when another gateway that lives has it, and
 * `STORE_WRITE_FAILED` when the folder cannot be written.
 */
export async function lockFolder(directory: string, masterPid: number): Promise<void> {
  const master = identityOf(masterPid)
  try {
    await makeFolder(directory)
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (await tryLock(directory, master)) return
    }
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause
    const message = `Cannot lock ${directory}: ${messageOf(cause)}. Make room or mend the permissions, or start from a folder that may be written: the config in it may be a link.`
    throw new GatewayError('STORE_WRITE_FAILED', message, { cause })
  }
  throw new GatewayError('STORE_LOCKED', `Cannot use ${directory}: too many gateways start there at once.`)
}

/** Whether a gateway that lives holds the folder. False where this user may not look. */
export async function isFolderLocked(directory: string): Promise<boolean> {
  try {
    const highest = highestOf(await readdir(directory))
    if (highest === 0) return false
    const holder = await readHolder(join(directory, nameOf(highest)))
    // Gone: the next holder has just come.
    return holder === 'gone' || (holder !== null && isRunning(holder))
  } catch {
    return false
  }
}

/** False: somebody else was faster, or the lock just went; look again. */
async function tryLock(directory: string, master: ProcessIdentity): Promise<boolean> {
  const highest = highestOf(await readdir(directory))
  if (highest > 0) {
    const holder = await readHolder(join(directory, nameOf(highest)))
    if (holder === 'gone') return false
    if (isSame(holder, master)) return true
    if (holder !== null && isRunning(holder)) {
      const wayOut = 'Stop it, or start this one in another folder.'
      const message = `Cannot use ${directory}: the gateway with process number ${holder.pid} uses it. ${wayOut}`
      throw new GatewayError('STORE_LOCKED', message)
    }
  }
  const mine = highest + 1
  if (!(await make(directory, mine, master))) return false
  const names = await readdir(directory)
  if (highestOf(names) === mine) {
    await removeOld(directory, names, mine)
    return true
  }
  // We had slept since we looked, and others came and went.
  await rm(join(directory, nameOf(mine)), { recursive: true, force: true })
  return false
}

/** Renaming a folder to the name of one that is not empty fails, and nobody ever sees a lock without its holder. */
async function make(directory: string, number: number, master: ProcessIdentity): Promise<boolean> {
  const temporary = join(directory, `lock.${randomUUID()}.tmp`)
  try {
    await mkdir(temporary, { mode: 0o700 })
    await writeFile(join(temporary, HOLDER_FILE), JSON.stringify(master), { mode: 0o600 })
    await rename(temporary, join(directory, nameOf(number)))
    return true
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    // Somebody has the number; or a new holder tidied up what it took for a leftover.
    if (highestOf(await readdir(directory)) >= number || isGone(error)) return false
    throw error
  }
}

async function removeOld(directory: string, names: readonly string[], mine: number): Promise<void> {
  const old = names.filter((name) => TEMPORARY.test(name) || (numberOf(name) ?? mine) < mine)
  await Promise.all(old.map((name) => rm(join(directory, name), { recursive: true, force: true })))
}

/** Null: nobody that could be asked. */
async function readHolder(lock: string): Promise<ProcessIdentity | 'gone' | null> {
  let text: string
  try {
    text = await readFile(join(lock, HOLDER_FILE), 'utf8')
  } catch (error) {
    if (!isGone(error)) throw error
    // Removed as a whole by the next holder, or emptied by somebody's hand.
    const isThere = await readdir(lock).then(
      () => true,
      () => false,
    )
    return isThere ? null : 'gone'
  }
  try {
    const { pid, started } = JSON.parse(text)
    if (!Number.isSafeInteger(pid) || pid <= 0) return null
    return { pid, started: typeof started === 'string' ? started : null }
  } catch {
    // A power failure can leave it empty; then the holder is dead.
    return null
  }
}

function isSame(holder: ProcessIdentity | null, master: ProcessIdentity): boolean {
  return holder !== null && holder.pid === master.pid && holder.started === master.started
}

function highestOf(names: readonly string[]): number {
  return Math.max(0, ...names.flatMap((name) => numberOf(name) ?? []))
}

function numberOf(name: string): number | null {
  const digits = NAME.exec(name)?.[1]
  return digits === undefined ? null : Number(digits)
}

function nameOf(number: number): string {
  return `lock.${number}`
}

function isGone(error: unknown): boolean {
  const code = systemErrorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}
