import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { lowerSessionPriority } from './priority.ts'

async function sleeper(t: TestContext): Promise<number> {
  const child = spawn('sleep', ['300'], { stdio: 'ignore', detached: true })
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  return child.pid ?? 0
}

const skip = existsSync('/proc/self/autogroup') ? false : 'the kernel does not group processes by session'

test('lowerSessionPriority() lowers the whole group of a session', { skip }, async (t) => {
  const pid = await sleeper(t)
  const group = () => readFileSync(`/proc/${pid}/autogroup`, 'utf8')
  assert.match(group(), / nice 0$/m)
  const isLow = () => {
    // Whoever is not root may do so ten times a second, all together.
    lowerSessionPriority(pid)
    return / nice 10$/m.test(group())
  }
  await waitFor(isLow, 'the group to have a lower priority')
})

test('lowerSessionPriority() of a process that has ended does nothing', async (t) => {
  const pid = await sleeper(t)
  process.kill(pid, 'SIGKILL')
  await waitFor(() => !existsSync(`/proc/${pid}`), 'the process to be gone')
  lowerSessionPriority(pid)
})
