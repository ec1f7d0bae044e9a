import { NOBODY, runningMark } from './running-mark.ts'

type Listener = EventListener | EventListenerObject

/** What a plugin may put in the way of: the methods that the runtime's own helpers call too. */
const addListener = EventTarget.prototype.addEventListener
const removeListener = EventTarget.prototype.removeEventListener

/**
 * A controller whose signal is for a plugin. What a listener of an AbortSignal throws, or rejects with, becomes an uncaught
 * exception, which ends the process: a plugin that uses a revoked context when its client goes away would cut everybody's
 * connections. Listeners of this signal fail to `onListenerFailed` instead.
 *
 * `mark`: of the instance, for `runningMark`.
 */
export function pluginAbortController(
  mark: number,
  onListenerFailed: (thrown: unknown) => void,
): AbortController {
  const controller = new AbortController()
  const { signal } = controller
  const guarded = new WeakMap<object, EventListener>()
  const guard = (listener: Listener): EventListener => {
    const known = guarded.get(listener)
    if (known !== undefined) return known
    const made = guardedListener(listener, mark, onListenerFailed)
    // The runtime removes by the one that it was given.
    guarded.set(listener, made).set(made, made)
    return made
  }
  let onabort: unknown = null
  Object.defineProperties(signal, {
    addEventListener: {
      value(type: string, listener: unknown, options?: AddEventListenerOptions | boolean) {
        addListener.call(
          signal,
          type,
          isListener(listener) ? guard(listener) : (listener as Listener),
          options,
        )
      },
    },
    removeEventListener: {
      value(type: string, listener: unknown, options?: EventListenerOptions | boolean) {
        const known = isListener(listener) ? guard(listener) : (listener as Listener)
        removeListener.call(signal, type, known, options)
      },
    },
    onabort: {
      get: () => onabort,
      set(listener: unknown) {
        if (isListener(onabort)) removeListener.call(signal, 'abort', guard(onabort))
        onabort = isListener(listener) ? listener : null
        if (isListener(onabort)) addListener.call(signal, 'abort', guard(onabort))
      },
    },
  })
  return controller
}

function isListener(value: unknown): value is Listener {
  return typeof value === 'function' || (typeof value === 'object' && value !== null)
}

function guardedListener(
  listener: Listener,
  mark: number,
  onFailed: (thrown: unknown) => void,
): EventListener {
  return function (this: unknown, event) {
    const before = runningMark[0] ?? NOBODY
    runningMark[0] = mark
    try {
      const result: unknown =
        typeof listener === 'function'
          ? listener.call(this as AbortSignal, event)
          : listener.handleEvent(event)
      // By its type it returns nothing; one that is async returns a promise all the same.
      if (result instanceof Promise) result.catch(onFailed)
    } catch (thrown) {
      onFailed(thrown)
    } finally {
      runningMark[0] = before
    }
  }
}
