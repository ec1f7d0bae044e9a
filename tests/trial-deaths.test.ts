import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import * as esbuild from 'esbuild'
import {
  killProcessesWithEnvironment,
  type ProcessInfo,
  processesWithEnvironment,
  signalProcesses,
} from './support/processes.ts'
import { failureOf, NOTHING, startTrialRunner, trialPids } from './support/trial.ts'
import { waitFor } from './support/wait-for.ts'

/** Every moment at which a trial process, or the supervisor above it, can be killed. */

after(() => esbuild.stop())

const GOOD = `export const PluginMain = () => ${NOTHING}`
const HANG = 'export const PluginMain = () => new Promise(() => {})'

test('TrialRunner.try() fails with the instance at hand when the process is killed in the middle', async (t) => {
  const runner = startTrialRunner(t)
  await runner.try({ good: GOOD })
  const [pid = 0] = trialPids()
  // The plugin says that it runs by the title of its process.
  const source = `process.title = 'hangs'\n${HANG}`
  const failing = failureOf(runner, { good: GOOD, bad: source })
  await waitFor(() => !trialPids().includes(pid), 'the plugin to run')
  signalProcesses([pid], 'SIGKILL')
  const failure = await failing
  assert.equal(failure.code, 'PLUGIN_START_FAILED')
  assert.equal(failure.plugin, 'bad')
  assert.match(failure.message, /PluginMain ended the trial process, or somebody else did \(SIGKILL\)/)
  await runner.try({ good: GOOD })
})

test('TrialRunner.try() starts another process when the warm one was killed before or between trials', async (t) => {
  const runner = startTrialRunner(t)
  runner.runner.warm()
  for (let count = 0; count < 3; count++) {
    signalProcesses(await waitFor(() => trialPids().length > 0 && trialPids(), 'a process'), 'SIGKILL')
    await runner.try({ good: GOOD })
  }
})

test('TrialRunner.try() fails with TRIAL_FAILED when no process can be had, and tries anew when asked again', async (t) => {
  const runner = startTrialRunner(t)
  const path = process.execPath
  process.execPath = '/nonexistent/node'
  const failure = await failureOf(runner, { good: GOOD }).finally(() => {
    process.execPath = path
  })
  assert.equal(failure.code, 'TRIAL_FAILED')
  assert.equal(failure.plugin, null)
  await runner.try({ good: GOOD })
})

test('TrialRunner.close() ends a trial under way, those that wait, and all processes', async (t) => {
  const runner = startTrialRunner(t)
  await runner.try({ good: GOOD })
  const trials = [failureOf(runner, { bad: HANG }), failureOf(runner, { good: GOOD })]
  await runner.runner.close()
  assert.deepEqual(trialPids(), [])
  for (const { code } of await Promise.all(trials)) assert.equal(code, 'TRIAL_FAILED')
  assert.equal((await failureOf(runner, { good: GOOD })).code, 'TRIAL_FAILED')
  runner.runner.warm()
  assert.deepEqual(trialPids(), [])
})

test('TrialRunner.close() ends a process that is not ready yet', async (t) => {
  const runner = startTrialRunner(t)
  runner.runner.warm()
  await runner.runner.close()
  assert.deepEqual(trialPids(), [])
})

test('an idle process is ended, and the next trial starts another', async (t) => {
  const runner = startTrialRunner(t, { idleMs: 50 })
  await runner.try({ good: GOOD })
  await waitFor(() => trialPids().length === 0, 'the end of the idle process')
  await runner.try({ good: GOOD })
})

test('nothing is left of a trial when the supervisor is killed, whatever the plugin does', async (t) => {
  const plugins: Record<string, string> = {
    'waits for ever': HANG,
    blocks: 'export const PluginMain = () => { for (;;); }',
    'sleeps in a system call':
      'export const PluginMain = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)',
    'ignores that its channel is closed': `process.removeAllListeners('disconnect')\nsetInterval(() => {}, 1000)\n${HANG}`,
    'started a process': `require('node:child_process').spawn('sleep', ['300'], { stdio: 'ignore' })
      export const PluginMain = () => { for (;;); }`,
  }
  for (const [name, source] of Object.entries(plugins)) {
    const { supervisor, others } = startSupervisor(t, `process.title = 'plugin runs'\n${source}`)
    const exit = once(supervisor, 'exit')
    await waitFor(
      () => others().some(({ command }) => command === 'plugin runs'),
      `the plugin that ${name}`,
      START_MS,
    )
    signalProcesses([supervisor.pid ?? 0], 'SIGKILL')
    await exit
    await waitFor(() => others().length === 0, `the end of what ${name}`)
  }
})

test('nothing is left of an idle trial process when the supervisor is killed', async (t) => {
  const { supervisor, others } = startSupervisor(t, GOOD)
  const exit = once(supervisor, 'exit')
  await waitFor(
    () => others().some(({ command }) => command === 'cardea: trial'),
    'the trial process',
    START_MS,
  )
  signalProcesses([supervisor.pid ?? 0], 'SIGKILL')
  await exit
  await waitFor(() => others().length === 0, 'its end')
})

/** Two processes, one after the other, on a machine that may have much else to do. */
const START_MS = 60_000

const MARKER = 'CARDEA_TEST_TRIAL'

/** A process that does nothing but try this plugin, and what else lives because of it. */
function startSupervisor(
  t: TestContext,
  source: string,
): { readonly supervisor: ChildProcess; others(): ProcessInfo[] } {
  const marker = randomUUID()
  const script = join(import.meta.dirname, 'support', 'trial-supervisor.ts')
  const supervisor = spawn(process.execPath, [script, source], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, [MARKER]: marker },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  t.after(() => killProcessesWithEnvironment(MARKER, marker))
  return {
    supervisor,
    others: () =>
      processesWithEnvironment(MARKER, marker).filter(
        ({ pid, command }) => pid !== supervisor.pid && !command.includes('esbuild'),
      ),
  }
}
