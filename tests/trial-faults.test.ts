import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as esbuild from 'esbuild'
import { withTempDir } from './support/temp-dir.ts'
import {
  failureOf,
  NOTHING,
  startTrialRunner,
  type TrialFailure,
  trialPids,
  trialPlan,
} from './support/trial.ts'
import { waitFor } from './support/wait-for.ts'

/** Plugins that give no answer at all: they hang, block, eat memory, or end the process. */

after(() => esbuild.stop())

const GOOD = `export const PluginMain = () => ${NOTHING}`
const MIB = 2 ** 20

const main = (code: string): string => `export const PluginMain = async () => { ${code}\n return ${NOTHING} }`

function assertFailure(failure: TrialFailure, code: string, message: RegExp): void {
  assert.equal(failure.code, code, failure.message)
  assert.match(failure.message, message)
  assert.equal(failure.plugin, 'bad')
}

test('TrialRunner.try() gives up a step that never settles', async (t) => {
  const runner = startTrialRunner(t, { startTimeoutMs: 100 })
  const never = 'new Promise(() => {})'
  const steps: Record<string, string> = {
    PluginMain: main(`await ${never}`),
    validateConfig: `export const PluginMain = () => ({ ...${NOTHING}, validateConfig: () => ${never} })`,
    healthCheck: `export const PluginMain = () => ({ ...${NOTHING}, healthCheck: () => ${never} })`,
  }
  for (const [step, source] of Object.entries(steps)) {
    const failure = await failureOf(runner, { good: GOOD, bad: source, after: GOOD })
    assertFailure(
      failure,
      'PLUGIN_START_FAILED',
      new RegExp(`Cannot start plugin "bad": ${step} did not settle within 100 ms`),
    )
  }
})

test('TrialRunner.try() is given up by its signal, whatever it is at; the next trial does not wait', async (t) => {
  const { runner, ...trials } = startTrialRunner(t)
  await using dir = await withTempDir()
  const marker = join(dir.path, 'is at it')
  const hanging = main(
    `require('node:fs').writeFileSync(${JSON.stringify(marker)}, ''); await new Promise(() => {})`,
  )
  const reason = new Error('not wanted any more')
  const request = { plan: trialPlan({ bad: hanging }), states: [] }
  const giveUp = new AbortController()
  const given = runner.try(request, giveUp.signal)
  await waitFor(() => existsSync(marker), 'the trial to hang')
  giveUp.abort(reason)
  await assert.rejects(given, reason)
  await assert.rejects(runner.try(request, AbortSignal.abort(reason)), reason)
  await trials.try({ good: GOOD })
})

test('TrialRunner.try() ends a step whose deadline the plugin took away from its process', async (t) => {
  const runner = startTrialRunner(t, { startTimeoutMs: 10, stepMarginMs: 10 })
  const source = `
    globalThis.setTimeout = () => 0
    ${main('await new Promise(() => {})')}`
  assertFailure(
    await failureOf(runner, { bad: source }),
    'PLUGIN_START_FAILED',
    /PluginMain did not end in time/,
  )
})

test('TrialRunner.try() ends what blocks the event loop, and says in which step', async (t) => {
  // What computes has its share of a core within the longer time, on a machine that has much else to do.
  const runner = startTrialRunner(t, { stallMs: 300, waitingFactor: 10 })
  const forever = 'for (;;);'
  const asleep = main('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)')
  const cases: [string, string][] = [
    ['load', `${forever}\nexport const PluginMain = 1`],
    ['PluginMain', main(forever)],
    ['PluginMain', main("/^(a+)+$/.test('a'.repeat(64) + 'b')")],
    ['PluginMain', main('const spin = () => Promise.resolve().then(spin); await spin()')],
    ['PluginMain', asleep],
    ['PluginMain', main('await new Promise((resolve) => setTimeout(resolve, 10)); for (;;);')],
    ['healthCheck', `export const PluginMain = () => ({ ...${NOTHING}, healthCheck() { ${forever} } })`],
    ['stop', `export const PluginMain = () => ({ ...${NOTHING}, stop() { ${forever} } })`],
    [
      'stop',
      `export const PluginMain = (_, host) => {
        host.signal.addEventListener('abort', () => { ${forever} })
        return ${NOTHING}
      }`,
    ],
  ]
  for (const [step, source] of cases) {
    const before = new Set(trialPids())
    const failure = await failureOf(runner, { good: GOOD, bad: source })
    const limit = source === asleep ? '3,000' : '300'
    const message = new RegExp(`^Cannot start plugin "bad": ${step} kept the event loop for ${limit} ms`)
    assertFailure(failure, 'PLUGIN_STALLED', message)
    assert.ok(!trialPids().some((pid) => before.has(pid)), 'its process is gone')
  }
  await runner.try({ good: GOOD })
})

test('TrialRunner.try() shows the line at which the event loop stands still', async (t) => {
  // Time enough for the process to be asked where it is, on a machine that has much else to do.
  const runner = startTrialRunner(t, { stallMs: 2_000, stallTellShare: 0.25, startTimeoutMs: 60_000 })
  const inner = (code: string) => `function inner() {
  ${code}
}
export const PluginMain = () => {
  inner()
}`
  await runner.try({ good: GOOD })
  const cases = [
    'for (;;);',
    "/^(a+)+$/.test('a'.repeat(64) + 'b')",
    'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)',
  ]
  for (const code of cases) {
    const failure = await failureOf(runner, { good: GOOD, bad: inner(code) })
    assertFailure(failure, 'PLUGIN_STALLED', /PluginMain kept the event loop/)
    const [, ...frames] = failure.stack.split('\n')
    assert.match(frames[0] ?? '', /at inner \(\/srv\/plugins\/bad\/plugin\.ts:2:\d+\)$/)
    assert.match(frames[1] ?? '', /at PluginMain \(\/srv\/plugins\/bad\/plugin\.ts:5:\d+\)$/)
    assert.equal(frames.length, 2)
  }
  // The first process had another trial before, but its stack says whose fault it is.
  assert.deepEqual(runner.logged, [])
})

test('TrialRunner.try() lets a step go on that was asked where it is and then gives way', async (t) => {
  const runner = startTrialRunner(t, { stallMs: 60_000, stallTellShare: 0.001 })
  const slow = main('const end = Date.now() + 500; while (Date.now() < end);')
  for (let count = 0; count < 3; count++) await runner.try({ slow })
  assert.equal(trialPids().length, 1)
})

test('TrialRunner.try() takes no trial for stalled because the supervisor itself stood still', async (t) => {
  const runner = startTrialRunner(t, { stallMs: 200 })
  await runner.try({ good: GOOD })
  const trying = runner.try({ slow: main('await new Promise((resolve) => setTimeout(resolve, 900))') })
  for (let count = 0; count < 3; count++) {
    // What the trial says meanwhile waits to be read, behind the timer that looks for silence.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await trying
  assert.deepEqual(runner.logged, [])
})

test('TrialRunner.try() ends what takes too much memory, on the heap or beside it', async (t) => {
  const runner = startTrialRunner(t, { memoryBytesMax: 96 * MIB, stallMs: 60_000 })
  const cases = [
    main('const kept = []; for (;;) kept.push(new Array(1_000).fill({}))'),
    main(`const kept = []; for (;;) kept.push(Buffer.alloc(${MIB}, 1))`),
    main(`const kept = []
      for (;;) {
        kept.push(new Uint8Array(${MIB}).fill(1))
        await new Promise((resolve) => setImmediate(resolve))
      }`),
  ]
  for (const source of cases) {
    const failure = await failureOf(runner, { good: GOOD, bad: source })
    const message = /^Cannot start plugin "bad": PluginMain took too much memory: .*, limit 96 MiB$/
    assertFailure(failure, 'PLUGIN_MEMORY_EXCEEDED', message)
  }
  await runner.try({ good: GOOD })
})

test('TrialRunner.try() tells a full heap from another abort', async (t) => {
  const runner = startTrialRunner(t, { heapBytesMax: 64 * MIB, stallMs: 60_000 })
  const full = await failureOf(runner, {
    bad: main('const kept = []; for (;;) kept.push(new Array(1_000).fill({}))'),
  })
  assertFailure(full, 'PLUGIN_MEMORY_EXCEEDED', /the process filled its heap .*, limit 64 MiB$/)
  const aborted = await failureOf(runner, { bad: main('process.abort()') })
  assertFailure(aborted, 'PLUGIN_START_FAILED', /ended the trial process.*\(SIGABRT\)/)
})

test('TrialRunner.try() blames the instance that ends the process', async (t) => {
  const runner = startTrialRunner(t)
  const cases: [string, string][] = [
    ['process.exit(0)', 'exit code 0'],
    ['process.exit(7)', 'exit code 7'],
    ["process.kill(process.pid, 'SIGKILL')", 'SIGKILL'],
    ['process.disconnect(); await new Promise(() => {})', 'SIGKILL'],
  ]
  for (const [code, reason] of cases) {
    const failure = await failureOf(runner, { good: GOOD, bad: main(code) })
    assertFailure(
      failure,
      'PLUGIN_START_FAILED',
      new RegExp(`^Cannot start plugin "bad": PluginMain ended the trial process.*\\(${reason}\\)`),
    )
  }
  await runner.try({ good: GOOD })
})
