import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { withUnreapedChild } from '../../../../tests/support/unreaped.ts'
import { identityOf } from '../base/process-identity.ts'
import { endOrphans } from './orphans.ts'

async function startSleeper() {
  const child = spawn('sleep', ['300'], { stdio: 'ignore' })
  await once(child, 'spawn')
  return { child, pid: child.pid ?? 0, exit: once(child, 'exit') }
}

test('endOrphans() kills what is still there after the grace', async () => {
  const { pid, exit } = await startSleeper()
  await endOrphans([identityOf(pid)], 0)
  assert.deepEqual(await exit, [null, 'SIGKILL'])
})

test('endOrphans() does not kill another process that has got the number', async () => {
  const { child, pid, exit } = await startSleeper()
  await endOrphans([{ pid, started: '1' }], 0)
  child.kill('SIGTERM')
  assert.deepEqual(await exit, [null, 'SIGTERM'])
})

test('endOrphans() returns as soon as all have ended by themselves', async () => {
  const { child, pid, exit } = await startSleeper()
  const ended = endOrphans([identityOf(pid)], 60_000)
  child.kill('SIGTERM')
  await ended
  assert.deepEqual(await exit, [null, 'SIGTERM'])
})

test('endOrphans() does not wait for one that has ended and that nobody reaps', {
  skip: process.platform !== 'linux',
  timeout: 30_000,
}, async () => {
  await using child = await withUnreapedChild()
  const identity = identityOf(child.pid)
  await child.end()
  await endOrphans([identity, identityOf(child.pid)], Number.POSITIVE_INFINITY)
})
