import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { after, test } from 'node:test'
import {
  descendantsOf,
  isAlive,
  killProcesses,
  killProcessesWithEnvironment,
  processesWithEnvironment,
  signalProcesses,
} from './processes.ts'
import { waitFor } from './wait-for.ts'

const started: ChildProcess[] = []
after(() => {
  for (const child of started) child.kill('SIGKILL')
})

/** A shell that waits for a sleeping child of its own. */
async function startFamily(marker: string): Promise<{ parent: number; child: number }> {
  const shell = spawn('/bin/sh', ['-c', 'sleep 300 & wait'], {
    stdio: 'ignore',
    env: { ...process.env, CARDEA_TEST_FAMILY: marker },
  })
  started.push(shell)
  await once(shell, 'spawn')
  const parent = shell.pid ?? 0
  const [child] = await waitFor(() => {
    const found = descendantsOf(parent).filter(({ command }) => command.startsWith('sleep'))
    return found.length > 0 && found
  }, 'the shell to start its child')
  assert.ok(child)
  return { parent, child: child.pid }
}

test('signalProcesses() passes over a process that has ended', async () => {
  const child = spawn('true')
  await once(child, 'exit')
  signalProcesses([child.pid ?? 0], 'SIGKILL')
})

test('descendantsOf() lists what the process started, and not the process', async () => {
  const family = await startFamily(randomUUID())
  assert.deepEqual(
    descendantsOf(family.parent).map(({ pid, parentPid, command }) => ({ pid, parentPid, command })),
    [{ pid: family.child, parentPid: family.parent, command: 'sleep 300' }],
  )
  await killProcesses([family.parent, family.child])
})

test('killProcessesWithEnvironment() kills a whole family and says whom', async () => {
  const marker = randomUUID()
  const family = await startFamily(marker)
  const killed = await killProcessesWithEnvironment('CARDEA_TEST_FAMILY', marker)
  assert.deepEqual(killed.map(({ pid }) => pid).sort(), [family.parent, family.child].sort())
  assert.ok(!isAlive(family.parent) && !isAlive(family.child))
})

test('processesWithEnvironment() finds a process whose parent is gone', async () => {
  const marker = randomUUID()
  const family = await startFamily(marker)
  await killProcesses([family.parent])
  assert.deepEqual(
    processesWithEnvironment('CARDEA_TEST_FAMILY', marker).map(({ pid }) => pid),
    [family.child],
  )
  await killProcesses([family.child])
  assert.ok(!isAlive(family.child))
  assert.deepEqual(processesWithEnvironment('CARDEA_TEST_FAMILY', marker), [])
})
