import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { mainThreadCpuMs, residentBytes } from './process-meter.ts'

/** They read /proc, so they need Linux. */

test('residentBytes() is what the process itself says', () => {
  const bytes = residentBytes(process.pid) ?? 0
  const own = process.memoryUsage.rss()
  assert.ok(Math.abs(bytes - own) < own / 4, `${bytes} of ${own}`)
})

test('mainThreadCpuMs() grows with the work of the main thread', () => {
  const before = mainThreadCpuMs(process.pid) ?? 0
  const workMs = 200
  const { user, system } = process.threadCpuUsage()
  const used = (): number => {
    const now = process.threadCpuUsage()
    return (now.user + now.system - user - system) / 1_000
  }
  while (used() < workMs);
  const gained = (mainThreadCpuMs(process.pid) ?? 0) - before
  // Whole ticks of 10 ms.
  assert.ok(gained >= workMs - 20, `${gained}`)
})

test('residentBytes() and mainThreadCpuMs() know nothing of a process that has ended', async (t) => {
  const child = spawn('sleep', ['300'], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  const pid = child.pid ?? 0
  assert.notEqual(mainThreadCpuMs(pid), null)
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(residentBytes(pid), null)
  assert.equal(mainThreadCpuMs(pid), null)
})
