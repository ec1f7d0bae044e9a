import { createHash, createHmac, randomBytes } from 'node:crypto'
import { messageOf } from '../base/errors.ts'
import { readTextFileOrPipe } from '../config/text-file.ts'
import type { CommandIo } from './io.ts'

/**
 * `cardea key new` and `cardea key hash`: what the plugin key-auth wants in its config. A key goes to stdout once and is
 * kept nowhere.
 */

export interface KeyOptions {
  /** A file with the pepper, or null. Never the pepper itself: arguments are seen by every user of a machine. */
  readonly pepperFile: string | null
  readonly io: CommandIo
}

/** 256 bits that nobody can guess, so a fast hash gives nothing away, and no request pays for a slow one. */
const KEY_BYTES = 32
/** By which people and scanners of leaked secrets know it. */
const KEY_PREFIX = 'ck_'
/** What is shorter could be found by trying. */
const KEY_LENGTH_MIN = 24
const KEY_LENGTH_MAX = 512
const PEPPER_LENGTH_MIN = 16

/** Makes a key and its hash. Returns the exit code. */
export async function keyNew(options: KeyOptions): Promise<number> {
  const key = KEY_PREFIX + randomBytes(KEY_BYTES).toString('base64url')
  return printHash(
    options,
    (hash) =>
      `key:  ${key}\nhash: ${hash}\n\n` +
      'The key is shown this once: give it to its consumer. The hash goes into the config of key-auth.\n',
    key,
  )
}

/** Hashes a key that there is already. `read`: what stands on stdin. */
export async function keyHash(options: KeyOptions, read: () => Promise<string>): Promise<number> {
  const key = (await read()).replace(/\r?\n$/, '')
  const refusal = refusalOf(key)
  if (refusal !== null) {
    options.io.err(`Cannot hash the key on stdin: ${refusal}\n`)
    return 1
  }
  return printHash(options, (hash) => `${hash}\n`, key)
}

/** All of a stream, or as much of it as shows that it is no key. */
export async function readKey(stream: AsyncIterable<Uint8Array | string>): Promise<string> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of stream) {
    pieces.push(Buffer.from(piece))
    size += piece.length
    if (size > 4 * KEY_LENGTH_MAX) break
  }
  return Buffer.concat(pieces).toString('utf8')
}

async function printHash(
  { pepperFile, io }: KeyOptions,
  text: (hash: string) => string,
  key: string,
): Promise<number> {
  const pepper = pepperFile === null ? null : await readPepper(pepperFile)
  if (pepper !== null && 'refusal' in pepper) {
    io.err(`Cannot use the pepper in ${pepperFile}: ${pepper.refusal}\n`)
    return 1
  }
  const hash =
    pepper === null
      ? `sha256:${createHash('sha256').update(key).digest('hex')}`
      : `hmac-sha256:${createHmac('sha256', pepper.text).update(key).digest('hex')}`
  io.out(text(hash))
  return 0
}

/** As `${file:…}` in a config reads it: without the line break at its end. */
async function readPepper(file: string): Promise<{ text: string } | { refusal: string }> {
  try {
    const text = (await readTextFileOrPipe(file)).replace(/\r?\n$/, '')
    if (text.length >= PEPPER_LENGTH_MIN) return { text }
    return {
      refusal: `it has ${text.length} characters, at least ${PEPPER_LENGTH_MIN} are needed; make one with "openssl rand -hex 32".`,
    }
  } catch (error) {
    return { refusal: messageOf(error) }
  }
}

/** Says nothing of the key but its length. */
function refusalOf(key: string): string | null {
  if (key === '') return 'there is none.'
  if (/[^!-~]/.test(key) || key.includes(',') || key.includes(';')) {
    return 'it holds a character other than printable ASCII, or a space, comma or semicolon.'
  }
  if (key.length < KEY_LENGTH_MIN) {
    return (
      `it has ${key.length} characters. A fast hash is safe for keys that nobody can guess, so at least ` +
      `${KEY_LENGTH_MIN} random ones are needed; make one with "cardea key new".`
    )
  }
  return key.length > KEY_LENGTH_MAX ? `it has more than ${KEY_LENGTH_MAX} characters.` : null
}
