import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A load program of this folder in its own process, so that its memory and CPU are not the proxy's. */
export interface Helper extends AsyncDisposable {
  /** The first line it prints. Rejects when it ends without one. */
  readonly firstLine: Promise<string>
  /** Rejects when it ends badly; never resolves. */
  readonly died: Promise<never>
}

export function startHelper(file: string, args: readonly (string | number)[], core: number): Helper {
  const script = fileURLToPath(new URL(file, import.meta.url))
  const command = ['-c', String(core), process.execPath, script, ...args.map(String)]
  const child = spawn('taskset', command, { stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const complaint = () => new Error(`${file}: ${errors.trim().split('\n').at(-1) || 'it ended too early'}`)
  const firstLine = new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end !== -1) resolve(text.slice(0, end))
    })
    ended.then(() => reject(complaint()))
  })
  const died = new Promise<never>((_resolve, reject) => {
    ended.then((code) => {
      if (code !== 0 && code !== null) reject(complaint())
    })
  })
  // Whoever waits gets the rejection; nobody may be waiting yet.
  firstLine.catch(() => {})
  died.catch(() => {})
  return { firstLine, died, [Symbol.asyncDispose]: () => stop(child, ended) }
}

async function stop(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  child.kill('SIGTERM')
  await ended
}
