import { close, constants, mkdirSync, open, openSync, write, writeSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { openAnew } from '../../base/own-outputs.ts'

/** Where the lines of a sink go. */
export interface LineFile {
  /** Resolves with the number of bytes that were taken; rejects with what the system says. */
  append(bytes: Uint8Array): Promise<number>
  /** As `append`, at once: the process ends. */
  appendSync(bytes: Uint8Array): number
  close(): Promise<void>
}

/** Both fail with ENXIO for a pipe that has no reader, an `append` with EAGAIN for one that is full: that may change. */
export interface LineFiles {
  open(file: string): Promise<LineFile>
  openSync(file: string): LineFile
}

/** The name that stands for stdout. */
export const STDOUT = '-'

/**
 * A pipe that nobody reads must hold nothing up: a thread that waits for one is lost to files and names, and Node cannot
 * end before it. On the files of a disk O_NONBLOCK changes nothing.
 */
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK
const CREATE = APPEND | constants.O_CREAT
const MODE = 0o640

const openAsync = promisify(open)
const closeAsync = promisify(close)

/**
 * Files below `directory`, appended to by several processes at once: O_APPEND makes the end of the file and the write one
 * step, so lines that are written together stay together.
 */
export function filesOn(directory: string): LineFiles {
  return {
    async open(file) {
      if (file === STDOUT) return openStdout()
      const path = join(directory, file)
      await mkdir(dirname(path), { recursive: true })
      return descriptorFile(await openAsync(path, CREATE, MODE))
    },
    openSync(file) {
      if (file === STDOUT) return openStdout()
      const path = join(directory, file)
      mkdirSync(dirname(path), { recursive: true })
      return descriptorFile(openSync(path, CREATE, MODE))
    },
  }
}

function descriptorFile(fd: number): LineFile {
  return {
    append: (bytes) => writeTo(fd, bytes),
    appendSync: (bytes) => writeSync(fd, bytes),
    close: () => closeAsync(fd),
  }
}

/** See `openAnew`. */
function openStdout(): LineFile {
  const own = openAnew(1)
  return own === null ? stdoutFile : descriptorFile(own)
}

/** The master's own, which all processes share. */
const stdoutFile: LineFile = {
  append: (bytes) => writeTo(1, bytes),
  appendSync: (bytes) => writeSync(1, bytes),
  close: async () => {},
}

function writeTo(fd: number, bytes: Uint8Array): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  write(fd, bytes, (error, written) => (error === null ? resolve(written) : reject(error)))
  return promise
}
