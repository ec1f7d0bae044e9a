import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FORMS } from './watchdog/blocker.ts'
import { type Answer, block, type Outcome, QUARANTINED, SERVED, STALLED } from './watchdog/blocking.ts'
import { type Case, nameOf, startStage } from './watchdog/stage.ts'

/** Whatever hook of a plugin blocks the event loop of a worker, it is ended, and nobody but its own exchange notices. */

interface Group {
  readonly title: string
  readonly cases: readonly Case[]
  expected(one: Case): Outcome
}

const AFTER: Readonly<Record<string, Answer>> = {
  onError: { status: 502, said: 'UPSTREAM_CLOSED' },
  listener: SERVED,
  afterAwait: STALLED,
}

const GROUPS: readonly Group[] = [
  {
    title: 'a handle of a security plugin that blocks is ended, whatever it does, and its request refused',
    cases: ([...FORMS, 'swallow', 'recurse', 'wait'] as const).map((form) => ({ hook: 'handle', form })),
    expected: () => ({ answer: STALLED, later: QUARANTINED }),
  },
  {
    title: 'an onResponse that blocks is ended, and the response replaced',
    cases: FORMS.map((form) => ({ hook: 'onResponse', form })),
    expected: () => ({ answer: STALLED, later: QUARANTINED }),
  },
  {
    title: 'an onFinish that blocks is ended, and the response has left',
    cases: FORMS.map((form) => ({ hook: 'onFinish', form })),
    expected: () => ({ answer: SERVED, later: QUARANTINED }),
  },
  {
    title: 'a transform of a request that blocks is ended, and the request refused',
    cases: FORMS.map((form) => ({ hook: 'requestTransform', form })),
    expected: () => ({ answer: STALLED, later: QUARANTINED }),
  },
  {
    title: 'a transform of a response that blocks is ended, and the response cut',
    cases: FORMS.map((form) => ({ hook: 'responseTransform', form })),
    expected: () => ({ answer: null, later: QUARANTINED }),
  },
  {
    title: 'a stream of a request that blocks is ended, and the request refused',
    cases: (['spin', 'promises'] as const).map((form) => ({ hook: 'requestStream', form })),
    expected: () => ({ answer: STALLED, later: QUARANTINED }),
  },
  {
    title:
      'a stream that blocks in a later chunk is ended, whether or not that had to wait, and the request refused',
    cases: (['laterChunk', 'queuedChunk'] as const).map((hook) => ({ hook, form: 'spin' })),
    expected: () => ({ answer: STALLED, later: QUARANTINED }),
  },
  {
    title: 'a stream of a response that blocks is ended, and the response cut',
    cases: (['spin', 'promises'] as const).map((form) => ({ hook: 'responseStream', form })),
    expected: () => ({ answer: null, later: QUARANTINED }),
  },
  {
    title: 'a callback of a host timer that blocks is ended',
    cases: FORMS.map((form) => ({ hook: 'timer', form })),
    expected: () => ({ answer: SERVED, later: QUARANTINED }),
  },
  {
    title: 'an onError, a listener of ctx.signal, and a handle after its first await are ended',
    cases: (['onError', 'listener', 'afterAwait'] as const).map((hook) => ({ hook, form: 'spin' })),
    expected: ({ hook }) => ({ answer: AFTER[hook] ?? null, later: QUARANTINED }),
  },
  {
    title: 'an observe plugin that blocks is ended, and its request goes on without it, content and all',
    cases: [
      { hook: 'handle', form: 'spin', category: 'observe' },
      { hook: 'handle', form: 'promises', category: 'observe' },
      { hook: 'onResponse', form: 'spin', category: 'observe' },
      { hook: 'onFinish', form: 'spin', category: 'observe' },
    ],
    expected: () => ({ answer: SERVED, later: { status: 200, said: 'got 0 bytes' } }),
  },
]

// In one gateway, which is the same to the next case when it has replaced the worker of the one before.
test('a hook that blocks is ended', async (t) => {
  const stage = await startStage(
    t,
    GROUPS.flatMap(({ cases }) => cases),
  )
  for (const { title, cases, expected } of GROUPS) {
    await t.test(title, async (t) => {
      for (const one of cases) {
        await t.test(nameOf(one), async (t) => {
          assert.deepEqual(await block(t, stage, one), expected(one))
        })
      }
    })
  }
  assert.deepEqual(await stage.gateway.stop(), { code: 0, signal: null })
})
