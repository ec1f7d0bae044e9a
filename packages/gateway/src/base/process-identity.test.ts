import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { withUnreapedChild } from '../../../../tests/support/unreaped.ts'
import { identityOf, isRunning } from './process-identity.ts'

test('identityOf() tells a process from another one, and is the same each time', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  await once(child, 'spawn')
  const [one, again, two] = [process.pid, process.pid, child.pid ?? 0].map(identityOf)
  assert.deepEqual(one, again)
  assert.notEqual(two?.started, one?.started)
  if (process.platform !== 'win32') assert.ok(one?.started)
  child.stdin.end()
  await once(child, 'exit')
  assert.ok(two !== undefined && !isRunning(two))
})

test('isRunning() goes by the number alone where no more is known', () => {
  const { pid, started } = identityOf(process.pid)
  assert.equal(isRunning({ pid, started }), true)
  assert.equal(isRunning({ pid, started: null }), true)
  if (process.platform !== 'win32') assert.equal(isRunning({ pid, started: 'long ago' }), false)
})

test('isRunning() takes a process that has ended and that nobody reaps for one that has ended', {
  skip: process.platform !== 'linux',
}, async () => {
  await using child = await withUnreapedChild()
  const identity = identityOf(child.pid)
  assert.equal(isRunning(identity), true)
  await child.end()
  assert.equal(isRunning(identity), false)
  assert.equal(isRunning({ pid: child.pid, started: null }), false)
})
