import { createHash } from 'node:crypto'
import { lstat, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { GatewayError } from '../base/errors.ts'

/** The folder of a gateway's own files, beside its config file. */
export const STATE_FOLDER = '.cardea'

const SOCKET_NAME = 'control.sock'

/** What the kernel takes for a socket's path; the last byte of the field is a NUL. */
const SOCKET_PATH_BYTES_MAX = process.platform === 'linux' ? 107 : 103

/** Of the file that names a socket which stands elsewhere: more is none of ours. */
const POINTER_BYTES_MAX = 1_024

/** Where the control socket of the gateway in `directory` belongs. */
export function controlSocketPath(directory: string): string {
  return join(directory, STATE_FOLDER, SOCKET_NAME)
}

/**
 * The path to bind for a socket that belongs at `path`: that path, or where it is too long, one in a folder of the
 * temporary directory that only this user may enter. The folder is made, and checked when it is there already.
 *
 * @throws GatewayError CONTROL_SOCKET_FAILED when somebody else has the folder.
 */
export async function pathToBind(path: string, temporary: string = tmpdir()): Promise<string> {
  if (fits(path)) return path
  const folder = [temporary, '/tmp']
    .map((root) => join(root, folderName(path)))
    .find((name) => fits(join(name, SOCKET_NAME)))
  if (folder === undefined)
    throw failed(path, 'its path is too long, and that of the temporary directory too')
  await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  if (!(await isPrivateFolder(folder))) {
    throw failed(
      path,
      `its path is too long, and ${folder}, which would take it, is not this user's own. Remove it`,
    )
  }
  return join(folder, SOCKET_NAME)
}

/** Says beside `path` where its socket really is; nothing when it is there. */
export async function writePointer(path: string, bound: string): Promise<void> {
  const pointer = pointerOf(path)
  if (bound === path) return rm(pointer, { force: true })
  const written = `${pointer}.new`
  await writeFile(written, `${bound}\n`, { mode: 0o600 })
  await rename(written, pointer)
}

/** What takes back `pathToBind` and `writePointer`, once the socket is gone. */
export async function removePointer(path: string, bound: string): Promise<void> {
  if (bound === path) return
  await rm(pointerOf(path), { force: true })
  await rm(dirname(bound), { recursive: true, force: true })
}

/** Where a client finds the socket that belongs at `path`. */
export async function pathToConnect(path: string): Promise<string> {
  try {
    const found = await lstat(pointerOf(path))
    if (!found.isFile() || found.size > POINTER_BYTES_MAX) return path
    const bound = (await readFile(pointerOf(path), 'utf8')).trimEnd()
    if (!isAbsolute(bound)) return path
    // In the temporary directory, names are for the taking: whoever owns the socket's folder must be whose gateway it is.
    const folder = await lstat(dirname(bound))
    return folder.isDirectory() && folder.uid === found.uid ? bound : path
  } catch {
    return path
  }
}

/** CONTROL_SOCKET_FAILED; `why` is the end of a sentence. */
export function failed(path: string, why: string, cause?: unknown): GatewayError {
  return new GatewayError('CONTROL_SOCKET_FAILED', `Cannot open ${path}: ${why}.`, { cause })
}

function pointerOf(path: string): string {
  return join(dirname(path), 'control.path')
}

function fits(path: string): boolean {
  return Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX
}

function folderName(path: string): string {
  const hash = createHash('sha256').update(`${process.getuid?.() ?? ''}\0${path}`)
  return `cardea-${hash.digest('hex').slice(0, 24)}`
}

async function isPrivateFolder(folder: string): Promise<boolean> {
  const found = await lstat(folder)
  return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0
}
