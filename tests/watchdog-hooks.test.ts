import { test } from 'node:test'
import { FORMS } from './watchdog/blocker.ts'
import { type Answer, blockAll, QUARANTINED, SERVED, STALLED } from './watchdog/blocking.ts'

/** Whatever hook of a plugin blocks the event loop of a worker, it is ended, and nobody but its own exchange notices. */

test('a handle of a security plugin that blocks is ended, whatever it does, and its request refused', async (t) => {
  const forms = [...FORMS, 'swallow', 'recurse', 'wait'] as const
  await blockAll(
    t,
    forms.map((form) => ({ hook: 'handle', form })),
    () => ({ answer: STALLED, later: QUARANTINED }),
  )
})

test('an onResponse that blocks is ended, and the response replaced', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'onResponse', form })),
    () => ({ answer: STALLED, later: QUARANTINED }),
  )
})

test('an onFinish that blocks is ended, and the response has left', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'onFinish', form })),
    () => ({ answer: SERVED, later: QUARANTINED }),
  )
})

test('a transform of a request that blocks is ended, and the request refused', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'requestTransform', form })),
    () => ({ answer: STALLED, later: QUARANTINED }),
  )
})

test('a transform of a response that blocks is ended, and the response cut', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'responseTransform', form })),
    () => ({ answer: null, later: QUARANTINED }),
  )
})

test('a callback of a host timer that blocks is ended', async (t) => {
  await blockAll(
    t,
    FORMS.map((form) => ({ hook: 'timer', form })),
    () => ({ answer: SERVED, later: QUARANTINED }),
  )
})

test('an onError, a listener of ctx.signal, and a handle after its first await are ended', async (t) => {
  const answers: Readonly<Record<string, Answer>> = {
    onError: { status: 502, said: 'UPSTREAM_CLOSED' },
    listener: SERVED,
    afterAwait: STALLED,
  }
  await blockAll(
    t,
    [
      { hook: 'onError', form: 'spin' },
      { hook: 'listener', form: 'spin' },
      { hook: 'afterAwait', form: 'spin' },
    ],
    ({ hook }) => ({ answer: answers[hook] ?? null, later: QUARANTINED }),
  )
})

test('an observe plugin that blocks is ended, and its request goes on without it, content and all', async (t) => {
  const category = 'observe'
  await blockAll(
    t,
    [
      { hook: 'handle', form: 'spin', category },
      { hook: 'handle', form: 'promises', category },
      { hook: 'onResponse', form: 'spin', category },
      { hook: 'onFinish', form: 'spin', category },
    ],
    () => ({ answer: SERVED, later: { status: 200, said: 'got 0 bytes' } }),
  )
})
