import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { endOrphans, identify } from './orphans.ts'

async function startSleeper() {
  const child = spawn('sleep', ['300'], { stdio: 'ignore' })
  await once(child, 'spawn')
  return { child, pid: child.pid ?? 0, exit: once(child, 'exit') }
}

test('endOrphans() kills what is still there after the grace', async () => {
  const { pid, exit } = await startSleeper()
  await endOrphans([identify(pid)], 0)
  assert.deepEqual(await exit, [null, 'SIGKILL'])
})

test('endOrphans() does not kill another process that has got the number', async () => {
  const { child, pid, exit } = await startSleeper()
  await endOrphans([{ pid, startTime: '1' }], 0)
  child.kill('SIGTERM')
  assert.deepEqual(await exit, [null, 'SIGTERM'])
})

test('endOrphans() returns as soon as all have ended by themselves', async () => {
  const { child, pid, exit } = await startSleeper()
  const ended = endOrphans([identify(pid)], 60_000)
  child.kill('SIGTERM')
  await ended
  assert.deepEqual(await exit, [null, 'SIGTERM'])
})
