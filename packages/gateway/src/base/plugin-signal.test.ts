import assert from 'node:assert/strict'
import { addAbortListener, once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pluginAbortController } from './plugin-signal.ts'

function bench() {
  const failures: unknown[] = []
  const controller = pluginAbortController(1, (thrown) => failures.push(thrown))
  return { failures, controller, signal: controller.signal }
}

const boom = (text: string) => (): never => {
  throw new Error(text)
}

test('pluginAbortController() keeps what listeners throw from the process', async () => {
  const { failures, controller, signal } = bench()
  const called: string[] = []
  signal.addEventListener('abort', boom('function'))
  signal.addEventListener('abort', { handleEvent: boom('object') })
  signal.addEventListener('abort', async () => {
    throw new Error('async')
  })
  signal.addEventListener('abort', Object.assign({}) as EventListenerObject)
  signal.onabort = boom('onabort')
  addAbortListener(signal, boom('added by a helper'))
  signal.addEventListener('abort', () => called.push('the last'))
  controller.abort(new Error('over'))
  // An uncaught exception would have ended this test by now.
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(
    failures.map((error) => (error as Error).message),
    ['function', 'object', 'listener.handleEvent is not a function', 'onabort', 'added by a helper', 'async'],
  )
  assert.deepEqual(called, ['the last'])
})

test('the signal of pluginAbortController() is as any other: listeners are called once, and can be removed', () => {
  const { controller, signal } = bench()
  const called: string[] = []
  const twice = function (this: unknown, event: Event) {
    called.push(`${event.type} ${this === signal} ${event.target === signal}`)
  }
  signal.addEventListener('abort', twice)
  signal.addEventListener('abort', twice)
  const removed = () => called.push('removed')
  signal.addEventListener('abort', removed)
  signal.removeEventListener('abort', removed)
  signal.onabort = removed
  signal.onabort = null
  assert.equal(signal.onabort, null)
  const only = new AbortController()
  signal.addEventListener('abort', () => called.push('not any more'), { signal: only.signal })
  only.abort()
  assert.ok(signal instanceof AbortSignal)
  controller.abort()
  controller.abort()
  assert.deepEqual(called, ['abort true true'])
})

test('the signal of pluginAbortController() ends what the runtime waits for', async () => {
  const { controller, signal } = bench()
  const reason = new Error('over')
  const waiting = [
    sleep(100_000, null, { signal, ref: false }),
    once(new EventTarget(), 'never', { signal }),
    new Promise((_, reject) => {
      const any = AbortSignal.any([signal])
      any.addEventListener('abort', () => reject(any.reason))
    }),
  ]
  controller.abort(reason)
  const settled = await Promise.allSettled(waiting)
  assert.deepEqual(
    settled.map((one) => one.status === 'rejected' && (one.reason === reason || one.reason.cause === reason)),
    [true, true, true],
  )
})
