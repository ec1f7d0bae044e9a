import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** File contents: text as it is, anything else as JSON. */
export type FileContents = string | Readonly<Record<string, unknown>>

export interface TempDir extends AsyncDisposable {
  /** Absolute, symbolic links resolved. */
  readonly path: string
  /** Writes files, and the folders they need; names are relative to `path`. */
  write(files: Readonly<Record<string, FileContents>>): Promise<void>
}

/** A new empty folder that goes with the scope: `await using dir = await withTempDir()`. */
export async function withTempDir(): Promise<TempDir> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'cardea-test-')))
  return {
    path,
    async write(files) {
      for (const [name, contents] of Object.entries(files)) {
        const file = join(path, name)
        await mkdir(dirname(file), { recursive: true })
        await writeFile(
          file,
          typeof contents === 'string' ? contents : `${JSON.stringify(contents, null, 2)}\n`,
        )
      }
    },
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}
