import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ControlEvent } from '../protocol/control.ts'
import { LiveView } from './live-view.ts'
import { DIRECTORY, failedReport, NOW, problem, report, status, trace } from './test-answers.ts'
import { PLAIN } from './text.ts'

function testView() {
  const state = { written: '', isBusy: false }
  const view = new LiveView({
    directory: DIRECTORY,
    paint: PLAIN,
    write: (text) => {
      state.written += text
    },
    isBusy: () => state.isBusy,
  })
  const take = (): string => {
    const { written } = state
    state.written = ''
    return written
  }
  return { view, state, take }
}

const change = (given = report()): ControlEvent => ({ kind: 'change', report: given })
const traced = (generation: number): ControlEvent => ({
  kind: 'trace',
  trace: trace({ generation, plugins: [] }),
})

test('LiveView shows a request in a line, and a change apart from them', () => {
  const { view, take } = testView()
  view.catchUp(status())
  assert.equal(take(), '')
  view.show(traced(14))
  assert.equal(take(), 'GET /api/x → route api · http://127.0.0.1:3000 3.2 ms · 200 in 4.1 ms\n')
  view.show(change(failedReport()))
  assert.match(take(), /^\nThe change failed at build: generation 14 serves on\n(.*\n)+\n$/)
  view.show(change())
  assert.match(take(), /^Generation 15 is live after 48 ms: plugin auth 1\.0\.0 → 1\.1\.0\n(.*\n)+\n$/)
  view.show(traced(14))
  assert.match(take(), /route api of generation 14 /)
  view.show(traced(15))
  assert.match(take(), /route api · /)
  view.show(change(failedReport()))
  assert.match(take(), /generation 15 serves on/)
})

test('LiveView does not say that nothing serves before it is known: a start goes on with what served last', () => {
  const { view, take } = testView()
  view.catchUp(status({ generation: 0 }))
  view.show(change(failedReport()))
  assert.match(take(), /The change failed at build: nothing of it is live\n/)
  view.started(14)
  assert.equal(take(), 'Generation 14 serves on\n\n')
  view.show(traced(14))
  assert.match(take(), /route api · /)
  view.show(change(failedReport({ problems: [problem({ message: 'another' })] })))
  assert.match(take(), /generation 14 serves on/)
})

test('LiveView shows what the start made when something else served before, and else leaves it to the start output', () => {
  const cause = { kind: 'start' } as const
  const { view, take } = testView()
  view.started(15)
  view.show(change(report({ cause })))
  assert.equal(take(), '')
  const late = testView()
  late.view.started(14)
  late.view.show(change(report({ cause })))
  assert.match(late.take(), /^\nGeneration 15 is live/)
})

test('LiveView says that nothing serves when the start came to nothing', () => {
  const { view, take } = testView()
  view.catchUp(status({ generation: 0 }))
  view.started(0)
  assert.equal(take(), '\nNothing can be served, requests are answered 503\n\n')
  view.show(change(failedReport()))
  assert.match(take(), /nothing can be served, requests are answered 503/)
})

test('LiveView takes a request on a later generation as the sign that this one serves', () => {
  const { view, take } = testView()
  view.catchUp(status({ generation: 0 }))
  view.show(traced(14))
  assert.match(take(), /route api · /)
  view.show(traced(13))
  assert.match(take(), /route api of generation 13 /)
})

test('LiveView shows faults with their calls, and decisions', () => {
  const { view, take } = testView()
  const who = { key: 'k', instance: 'auth', plugin: 'auth' }
  const stack = 'Error: no\n    at handle (/srv/shop/plugins/auth/plugin.ts:3:9)'
  const frame = '3 |   throw new Error()\n  |         ^'
  const failure = { code: 'HOOK_THREW', message: 'handle threw: no', plugin: 'auth', stack, frame } as const
  view.show({ kind: 'fault', at: NOW, worker: 1, fault: { kind: 'failures', ...who, count: 3, failure } })
  view.show({ kind: 'fault', at: NOW, worker: 1, fault: { kind: 'failures', ...who, count: 1, failure } })
  view.show({
    kind: 'fault',
    at: NOW,
    worker: 2,
    fault: { kind: 'breaker', ...who, state: 'open', calls: 100, faults: 60 },
  })
  view.show({
    kind: 'fault',
    at: NOW,
    worker: 2,
    fault: { kind: 'breaker', ...who, state: 'closed', calls: 0, faults: 0 },
  })
  const frames = ['spin (a.ts:1:2)', 'handle (a.ts:9:1)']
  view.show({
    kind: 'fault',
    at: NOW,
    worker: 2,
    fault: { kind: 'stall', ...who, stalledMs: 1_204, frames, frame: null },
  })
  view.show({ kind: 'fault', at: NOW, worker: 2, fault: { kind: 'uncaught', ...who, failure } })
  view.show({ kind: 'decision', at: NOW, plugin: 'auth', text: 'is quarantined' })
  view.show({ kind: 'worker', at: NOW, worker: 2, text: 'is replaced' })
  view.show({ kind: 'skipped', traces: 1_200 })
  assert.equal(
    take(),
    `auth failed 3 times, the last time in worker 1: HOOK_THREW handle threw: no
      3 |   throw new Error()
        |         ^
    at handle (/srv/shop/plugins/auth/plugin.ts:3:9)
auth failed in worker 1: HOOK_THREW handle threw: no
      3 |   throw new Error()
        |         ^
    at handle (/srv/shop/plugins/auth/plugin.ts:3:9)
the breaker of auth is open in worker 2: 60 of 100 calls failed
the breaker of auth is closed in worker 2
auth blocked worker 2 for 1,204 ms in spin (a.ts:1:2) and was ended
    at handle (a.ts:9:1)
auth threw in worker 2, where nobody catches it: handle threw: no
      3 |   throw new Error()
        |         ^
    at handle (/srv/shop/plugins/auth/plugin.ts:3:9)
auth: is quarantined
worker 2: is replaced
1,200 requests more, faster than they can be shown
`,
  )
})

test('LiveView shows of a failure the calls in the plugin, and its message line by line', () => {
  const { view, take } = testView()
  const stack = [
    'AssertionError: one\u001b',
    '    at node:assert:1:2',
    '    at check (/srv/shop/plugins/auth/check.ts:3:9)',
    '    at verify (/srv/shop/node_modules/jwt/index.js:3:9)',
    '    at Array.map (<anonymous>)',
    '    at Object.handle (/srv/shop/plugins/auth/plugin.ts:5:1)',
    '    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)',
  ].join('\n')
  const failure = {
    code: 'HOOK_THREW',
    message: 'one\u001b\ntwo',
    plugin: 'auth',
    stack,
    frame: null,
  } as const
  const fault = { kind: 'failures', key: 'k', instance: 'auth', plugin: 'auth', count: 1, failure } as const
  view.show({ kind: 'fault', at: NOW, worker: 1, fault })
  assert.equal(
    take(),
    `auth failed in worker 1: HOOK_THREW one\ufffd
    two
    at check (/srv/shop/plugins/auth/check.ts:3:9)
    at Object.handle (/srv/shop/plugins/auth/plugin.ts:5:1)
`,
  )
})

test('LiveView shows a change once that stands on disk and failed, also when it was missed', () => {
  const { view, take } = testView()
  const pending = failedReport()
  view.catchUp(status({ generation: 0, pending }))
  assert.match(take(), /^\nThe change failed at build: nothing of it is live/)
  view.show(change(pending))
  take()
  view.catchUp(status({ pending }))
  assert.equal(take(), 'The supervisor was started anew: generation 14 serves on\n\n')
  view.catchUp(status({ pending: failedReport({ at: NOW }) }))
  assert.match(take(), /The change failed at build: generation 14 serves on/)
})

test('LiveView says that what failed is as it was before', () => {
  const { view, take } = testView()
  view.catchUp(status())
  view.show(change(failedReport()))
  take()
  view.show(change(report({ outcome: 'unchanged', generation: 14 })))
  assert.equal(take(), 'The files are in order again: generation 14 serves on\n\n')
  view.show(change(failedReport()))
  assert.match(take(), /PLUGIN_BUILD_FAILED/)
})

test('LiveView says in a line that a change fails for the same reasons as the one before', () => {
  const { view, take } = testView()
  view.catchUp(status())
  view.show(change(failedReport()))
  take()
  const files = ['/srv/shop/cardea.yaml']
  view.show(change(failedReport({ at: NOW, cause: { kind: 'files', files } })))
  assert.equal(
    take(),
    'The change failed at build: generation 14 serves on, for the same reasons as before\n\n',
  )
  view.show(change(failedReport({ problems: [problem({ line: 3 })] })))
  assert.match(take(), /plugin\.ts:3:29/)
  view.show(change())
  take()
  view.show(change(failedReport({ problems: [problem({ line: 3 })] })))
  assert.match(take(), /plugin\.ts:3:29/)
})

test('LiveView leaves the first generation to the start output', () => {
  const { view, take } = testView()
  view.show(change(report({ generation: 1, cause: { kind: 'start' } })))
  assert.equal(take(), '')
  view.show(traced(1))
  assert.doesNotMatch(take(), /of generation/)
  view.show(change(failedReport({ cause: { kind: 'start' } })))
  assert.match(take(), /generation 1 serves on/)
})

test('LiveView says that a start which failed has come off after all', () => {
  const { view, take } = testView()
  view.show(change(failedReport({ cause: { kind: 'start' } })))
  take()
  view.show(change(report({ generation: 1, cause: { kind: 'start' } })))
  assert.match(take(), /Generation 1 is live/)
})

test('LiveView leaves out requests while nobody can take them, and counts them', () => {
  const { view, state, take } = testView()
  view.catchUp(status())
  state.isBusy = true
  for (let count = 0; count < 1_500; count += 1) view.show(traced(14))
  view.show({ kind: 'skipped', traces: 500 })
  view.show(change(failedReport()))
  assert.match(take(), /^\nThe change failed/)
  state.isBusy = false
  view.show(traced(14))
  assert.match(take(), /^2,000 requests more, faster than they can be shown\nGET /)
})
