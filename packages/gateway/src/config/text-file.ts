import { isUtf8 } from 'node:buffer'
import { createReadStream, readFileSync, type Stats, statSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'

/** Reads the files that a config is made of: whole, as UTF-8, and never without an end. */

/** Whatever the length of its characters, a text of this many bytes is longer than any that is parsed. */
export const TEXT_FILE_BYTES_MAX = 32 * 1024 * 1024

/** Why a file that is there is not taken; `message` is a part of a sentence, such as `it is not UTF-8`. */
export class UnfitFileError extends Error {
  override readonly name = 'UnfitFileError'
}

/** Rejects with an UnfitFileError, or as node:fs does. A pipe that nobody writes to would never end, so none is read. */
export async function readTextFile(path: string): Promise<string> {
  checkKind(await stat(path))
  return textOf(await readFile(path))
}

/** The same at once. */
export function readTextFileSync(path: string): string {
  checkKind(statSync(path))
  return textOf(readFileSync(path))
}

/** The same for a file that somebody has named by hand, who may mean a pipe, such as `/dev/stdin`. */
export async function readTextFileOrPipe(path: string): Promise<string> {
  const found = await stat(path)
  if (!found.isFIFO()) return readTextFile(path)
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) {
    pieces.push(piece)
    size += piece.length
    if (size > TEXT_FILE_BYTES_MAX) throw tooLarge()
  }
  return textOf(Buffer.concat(pieces))
}

function checkKind(found: Stats): void {
  // What reading a directory leads to says what it is.
  if (!found.isFile() && !found.isDirectory()) throw new UnfitFileError('it is not a regular file')
  if (found.size > TEXT_FILE_BYTES_MAX) throw tooLarge()
}

function tooLarge(): UnfitFileError {
  return new UnfitFileError(`it is larger than ${TEXT_FILE_BYTES_MAX / 1024 / 1024} MiB`)
}

/** Read as something else it would be another text: a password that nobody can log in with. */
function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new UnfitFileError('it is not UTF-8')
  return bytes.toString('utf8')
}
