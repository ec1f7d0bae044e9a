import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const REPORT_SCRIPT = fileURLToPath(new URL('report.lua', import.meta.url))

export interface WrkErrors {
  readonly connect: number
  readonly read: number
  readonly write: number
  readonly timeout: number
  /** Answers with status 400 and up. */
  readonly status: number
}

export interface WrkResult {
  readonly requests: number
  /** Read from the sockets, heads included. */
  readonly bytes: number
  readonly durationMicroseconds: number
  readonly p50Microseconds: number
  readonly p99Microseconds: number
  readonly errors: WrkErrors
}

export interface Load {
  readonly url: string
  readonly method: string
  readonly requestBytes: number
  readonly closes: boolean
  /** Besides Host, User-Agent and Accept. */
  readonly fields: Readonly<Record<string, string>>
  readonly connections: number
  readonly seconds: number
  /** Or a list of cores as taskset reads it: `0-1`. */
  readonly core: number | string
  readonly signal: AbortSignal
}

/** A wrk that runs; disposing kills it where it has not ended. */
export interface WrkRun extends AsyncDisposable {
  /** Rejects when wrk cannot run or prints no result. */
  readonly result: Promise<WrkResult>
  /** It neither sends nor reads until `go()`, but its time runs on. */
  halt(): void
  go(): void
}

/** Starts wrk, one thread, on `load.core`. */
export function startWrk(load: Load): WrkRun {
  const wrk = ['wrk', '-t1', `-c${load.connections}`, `-d${load.seconds}s`, '--latency', '-s', REPORT_SCRIPT]
  const shape = [
    load.method,
    String(load.requestBytes),
    String(load.closes),
    ...Object.entries(load.fields).flat(),
  ]
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const args = ['-c', String(load.core), ...wrk, load.url, '--', ...shape]
  // taskset becomes wrk: signals reach it.
  const child = execFile('taskset', args, { signal: load.signal }, (error, stdout) => {
    if (error === null) resolve(stdout)
    else reject(error)
  })
  const result = promise.then(parseWrkOutput)
  result.catch(() => {})
  return {
    result,
    halt: () => void child.kill('SIGSTOP'),
    go: () => void child.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await result.catch(() => {})
    },
  }
}

/** Runs wrk to its end. Rejects when it cannot run, or with what `died` rejects with. */
export async function runWrk(load: Load, died: Promise<never>): Promise<WrkResult> {
  await using wrk = startWrk(load)
  return await Promise.race([wrk.result, died])
}

/** Takes the `result` line of report.lua out of wrk's output. Throws if it is not there or not whole. */
export function parseWrkOutput(text: string): WrkResult {
  const line = text.split('\n').find((candidate) => candidate.startsWith('result {'))
  if (line === undefined) throw new Error(`wrk printed no result line, but: ${text.trim().slice(0, 500)}`)
  const result = JSON.parse(line.slice('result '.length)) as WrkResult
  const numbers = [result.requests, result.bytes, result.durationMicroseconds, result.p50Microseconds]
  const all = [...numbers, result.p99Microseconds, ...Object.values(result.errors ?? {})]
  if (all.length !== 10 || !all.every(Number.isFinite))
    throw new Error(`wrk printed a broken result: ${line}`)
  return result
}

/** What went wrong in a run, as phrases for the report; empty when it is valid. */
export function wrkFaults(result: WrkResult, answerBytes: number): string[] {
  const faults = Object.entries(result.errors)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => (kind === 'status' ? `${count} answers ≥ 400` : `${count} ${kind} errors`))
  if (result.requests === 0) faults.push('no request was answered')
  else if (result.bytes / result.requests < answerBytes) faults.push('answers shorter than the upstream sent')
  return faults
}
