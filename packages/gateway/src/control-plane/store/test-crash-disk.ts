import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { basename, dirname, join } from 'node:path'

/** For the tests of this folder only: what a disk may hold after the power failed, for every moment it can fail in. */

type Step =
  | { readonly kind: 'write'; readonly path: string; readonly content: Buffer }
  | { readonly kind: 'sync-file'; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'sync-folder'; readonly path: string }

/** Files by path; what is not there is null. Only what differs from the disk before. */
export type Aftermath = ReadonlyMap<string, Buffer | null>

/** Runs `work`, and notes each step that it takes on the disk. Nothing else may use `fs` meanwhile. */
export async function stepsOf(work: () => Promise<unknown>): Promise<readonly Step[]> {
  const steps: Step[] = []
  const { openSync, writeFileSync, renameSync, rmSync, fsync, fdatasync } = fs
  const real = { openSync, writeFileSync, renameSync, rmSync, fsync, fdatasync }
  const opened = new Map<number, { readonly path: string; readonly isFolder: boolean }>()
  fs.openSync = (path, flags, mode) => {
    const descriptor = openSync(path, flags, mode)
    opened.set(descriptor, { path: String(path), isFolder: flags === 'r' })
    return descriptor
  }
  fs.writeFileSync = (file, data, options) => {
    writeFileSync(file, data, options)
    const path = opened.get(Number(file))?.path ?? String(file)
    steps.push({ kind: 'write', path, content: Buffer.from(String(data)) })
  }
  fs.renameSync = (from, to) => {
    renameSync(from, to)
    steps.push({ kind: 'rename', from: String(from), to: String(to) })
  }
  fs.rmSync = (path, options) => {
    rmSync(path, options)
    steps.push({ kind: 'remove', path: String(path) })
  }
  const { rm } = fs.promises
  fs.promises.rm = async (path, options) => {
    await rm(path, options)
    steps.push({ kind: 'remove', path: String(path) })
  }
  const noting =
    (sync: typeof fsync) =>
    (descriptor: number, done: fs.NoParamCallback): void =>
      sync(descriptor, (error) => {
        const { path = '', isFolder = false } = opened.get(descriptor) ?? {}
        if (error === null) steps.push({ kind: isFolder ? 'sync-folder' : 'sync-file', path })
        done(error)
      })
  Object.assign(fs, { fsync: noting(fsync), fdatasync: noting(fdatasync) })
  syncBuiltinESMExports()
  try {
    await work()
  } finally {
    Object.assign(fs, real)
    fs.promises.rm = rm
    syncBuiltinESMExports()
  }
  return steps
}

/** Within `stepsOf`: the next sync of a folder fails, and has done nothing. */
export function refuseNextFolderSync(error: Error): void {
  const { fsync } = fs
  const refuse = (_: number, done: fs.NoParamCallback): void => {
    Object.assign(fs, { fsync })
    syncBuiltinESMExports()
    done(error)
  }
  Object.assign(fs, { fsync: refuse })
  syncBuiltinESMExports()
}

/** Index of the step that puts `name` among the names of its folder, once that folder is synced. */
export function durableAfter(steps: readonly Step[], name: string): number {
  const named = steps.findIndex((step) => step.kind === 'rename' && basename(step.to) === name)
  return steps.findIndex((step, index) => index > named && step.kind === 'sync-folder')
}

/**
 * Each state that the disk can be in when the power fails right after `count` steps: of what was not synced, any single
 * name, all, or none may have survived, and of content that was not synced all, half or nothing.
 */
export function* aftermaths(steps: readonly Step[], count: number): Generator<Aftermath> {
  const { durable, pending, files } = replay(steps.slice(0, count))
  const choices = [
    [],
    pending,
    ...pending.map((entry) => [entry]),
    ...pending.map((entry) => pending.filter((other) => other !== entry)),
  ]
  const seen = new Set<string>()
  for (const survivors of choices) {
    for (const share of [1, 0.5, 0]) {
      const state = new Map<string, Buffer | null>()
      for (const { path, file } of [...durable, ...survivors]) state.set(path, contentOf(files, file, share))
      const id = JSON.stringify([...state].map(([path, content]) => [path, content?.length ?? null]))
      if (seen.has(id)) continue
      seen.add(id)
      yield state
    }
  }
}

/** The disk as a process finds it whose predecessor was killed after `count` steps: the kernel has all of them. */
export function seenAfter(steps: readonly Step[], count: number): Aftermath {
  const { durable, pending, files } = replay(steps.slice(0, count))
  return new Map([...durable, ...pending].map(({ path, file }) => [path, contentOf(files, file, 1)]))
}

interface Entry {
  /** A name in a folder … */
  readonly path: string
  /** … and the file it leads to, by the path that it was written to; null: there is none of that name. */
  readonly file: string | null
}

interface FileState {
  readonly content: Buffer
  readonly isSynced: boolean
}

function replay(steps: readonly Step[]) {
  const files = new Map<string, FileState>()
  const durable: Entry[] = []
  let pending: Entry[] = []
  for (const step of steps) {
    if (step.kind === 'write') {
      files.set(step.path, { content: step.content, isSynced: false })
      pending.push({ path: step.path, file: step.path })
    } else if (step.kind === 'sync-file') {
      files.set(step.path, { content: files.get(step.path)?.content ?? Buffer.alloc(0), isSynced: true })
    } else if (step.kind === 'rename') {
      pending.push({ path: step.from, file: null }, { path: step.to, file: step.from })
    } else if (step.kind === 'remove') {
      pending.push({ path: step.path, file: null })
    } else {
      durable.push(...pending.filter(({ path }) => dirname(path) === step.path))
      pending = pending.filter(({ path }) => dirname(path) !== step.path)
    }
  }
  return { durable, pending, files }
}

function contentOf(files: ReadonlyMap<string, FileState>, file: string | null, share: number): Buffer | null {
  const state = file === null ? undefined : files.get(file)
  if (state === undefined) return null
  return state.isSynced ? state.content : state.content.subarray(0, Math.floor(state.content.length * share))
}

/** Makes a folder as it was before the steps, with the aftermath on it. */
export async function realise(
  before: string,
  folder: string,
  aftermath: Aftermath,
  to: string,
): Promise<void> {
  await fs.promises.rm(to, { recursive: true, force: true })
  await fs.promises.cp(before, to, { recursive: true })
  for (const [path, content] of aftermath) {
    const file = join(to, path.slice(folder.length))
    if (content === null) await fs.promises.rm(file, { force: true })
    else await fs.promises.writeFile(file, content)
  }
}
