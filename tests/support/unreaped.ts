import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { waitFor } from './wait-for.ts'

/** A process whose parent never takes note of its end, as in a container whose first process reaps nobody. Linux only. */
export async function withUnreapedChild() {
  // The shell becomes a `sleep`, which knows of no children.
  const parent = spawn('sh', ['-c', 'sleep 300 & echo $!; exec sleep 300'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  parent.stdout.setEncoding('utf8')
  const [said] = await once(parent.stdout, 'data')
  const pid = Number(said)
  assert.ok(Number.isSafeInteger(pid) && pid > 0, `no process number: ${said}`)
  // Until then it is a shell, which may take note.
  const name = `/proc/${parent.pid}/comm`
  await waitFor(() => readFileSync(name, 'utf8') === 'sleep\n', 'the shell to become a sleep')
  return {
    pid,
    /** Resolves when it is a zombie. */
    async end(): Promise<void> {
      process.kill(pid, 'SIGKILL')
      await waitFor(() => stateOf(pid) === 'Z', 'a zombie')
    },
    async [Symbol.asyncDispose](): Promise<void> {
      if (stateOf(pid) !== 'Z') process.kill(pid, 'SIGKILL')
      parent.kill('SIGKILL')
      await once(parent, 'exit')
    },
  }
}

function stateOf(pid: number): string | undefined {
  return / ([A-Z]) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/, ''))?.[1]
}
