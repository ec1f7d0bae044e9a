import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import type { HashAlgorithm, Host, HostTimer, Log } from '@cardea/sdk'
import { pluginAbortController } from '../base/plugin-signal.ts'
import { markOf, NOBODY, runningMark } from '../base/running-mark.ts'
import { DURATION_MS_MAX } from '../config/units.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { ConfigUpdate, Maker } from './config-update.ts'
import { permittedFetch, type Transport } from './fetch.ts'
import { withMappedStack } from './load.ts'
import { type LooseFailure, logLooseFailure } from './loose-failure.ts'
import {
  NO_NODE_SERVICES,
  NO_WORKER_SERVICES,
  type NodeServices,
  type ServiceSource,
  type WorkerServices,
} from './services.ts'

/** The host of one instance, and the two steps of its end. */
export interface InstanceHost {
  readonly host: Host
  /** PluginMain has returned. */
  started(): void
  /** These four as in `Opened`. */
  beginUpdate(update: ConfigUpdate, from: Maker): void
  endUpdate(): void
  goLive(plan: InstancePlan, maker: Maker): void
  ended(maker: Maker): void
  /** Another one goes live, without any instance of this host. */
  retire(): void
  /** Aborts `host.signal` and cancels timers. `fetch` still works, so that `stop` can send what is left. */
  quiesce(): void
  /** As `quiesce`, and ends what is still being fetched. Safe to call again. */
  release(): void
}

/** By what a host reaches beyond itself; the test harness has its own, in which nothing is real. */
export interface Surroundings {
  /** Returns what cancels the timer. */
  startTimer(callback: () => void, durationMs: number, repeat: boolean): () => void
  readonly transport: Transport
  readonly node: ServiceSource<NodeServices>
  readonly worker: ServiceSource<WorkerServices>
  onFailure(failure: LooseFailure): void
}

export const SYSTEM: Surroundings = {
  startTimer(callback, durationMs, repeat) {
    const timer = repeat ? setInterval(callback, durationMs) : setTimeout(callback, durationMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  transport: (url, init) => fetch(url, init),
  node: NO_NODE_SERVICES,
  worker: NO_WORKER_SERVICES,
  onFailure: logLooseFailure,
}

const HASHES: ReadonlySet<string> = new Set<HashAlgorithm>(['sha1', 'sha256', 'sha384', 'sha512'])

/** Makes what the gateway gives the instance `plan`. `mapStack` serves the log lines of failing callbacks. */
export function openHost(
  plan: InstancePlan,
  log: Log,
  mapStack: (error: Error) => string,
  surroundings: Surroundings = SYSTEM,
): InstanceHost {
  const failed = (what: string) => (thrown: unknown) =>
    surroundings.onFailure({ plan, what: `${what} of "${plan.name}" failed`, thrown, log, mapStack })
  const mark = markOf(plan.key)
  const newSignal = (): AbortController =>
    pluginAbortController(mark, failed("A listener of a task's signal"))
  const quiet = pluginAbortController(mark, failed('A listener of host.signal'))
  const ended = new AbortController()
  const timers = new TimerSet(plan.key, failed('A timer'), surroundings)
  const node = surroundings.node.open(plan, log)
  const worker = surroundings.worker.open(plan, log)
  const host: Host = {
    ...node.services,
    ...worker.services,
    once: (name, task) => node.services.once(name, ownTask(task, mapStack, newSignal)),
    name: plan.name,
    log,
    signal: quiet.signal,
    fetch: permittedFetch(plan.name, plan.permissions, ended.signal, surroundings.transport),
    hash(algorithm, data, encoding = 'hex') {
      return hash(knownHash(algorithm), data, encoding)
    },
    hmac(algorithm, key, data, encoding = 'hex') {
      return createHmac(knownHash(algorithm), key).update(data).digest(encoding)
    },
    timingSafeEqual: equalInConstantTime,
    setTimeout: (callback, delayMs) => timers.start(callback, delayMs, false),
    setInterval: (callback, periodMs) => timers.start(callback, periodMs, true),
  }
  const quiesce = (): void => {
    if (quiet.signal.aborted) return
    timers.stop()
    node.quiesce?.()
    worker.quiesce?.()
    quiet.abort(new DOMException(`The instance "${plan.name}" has stopped`, 'AbortError'))
  }
  return {
    host: Object.freeze(host),
    started: () => worker.started?.(),
    beginUpdate(update, from) {
      node.beginUpdate?.(update, from)
      worker.beginUpdate?.(update, from)
    },
    endUpdate: () => node.endUpdate?.(),
    goLive(live, maker) {
      node.goLive?.(live, maker)
      worker.goLive?.(live, maker)
    },
    ended: (maker) => worker.ended?.(maker),
    retire: () => node.retire?.(),
    quiesce,
    release() {
      quiesce()
      ended.abort(quiet.signal.reason)
      node.release()
      worker.release()
    },
  }
}

/** The task, its errors mapped to the plugin's own lines, with a signal whose listeners can do no harm. */
function ownTask(
  task: Parameters<Host['once']>[1],
  mapStack: (error: Error) => string,
  newSignal: () => AbortController,
): Parameters<Host['once']>[1] {
  // What is no function is refused by the service, in its own words.
  if (typeof task !== 'function') return task
  return async (signal) => {
    const own = newSignal()
    const abort = (): void => own.abort(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await task(own.signal)
    } catch (thrown) {
      throw withMappedStack(thrown, mapStack)
    } finally {
      // One that fails is run again and again by the same signal.
      signal.removeEventListener('abort', abort)
    }
  }
}

function knownHash(algorithm: string): string {
  if (HASHES.has(algorithm)) return algorithm
  throw new TypeError(`"${algorithm}" is not a hash algorithm; use one of ${[...HASHES].join(', ')}`)
}

/**
 * Strings are compared by their UTF-16 units when both are strings: UTF-8 turns every lone surrogate into the same
 * three bytes, by which two different strings would count as equal.
 */
function equalInConstantTime(a: string | Uint8Array, b: string | Uint8Array): boolean {
  const encoding = typeof a === 'string' && typeof b === 'string' ? 'utf16le' : 'utf8'
  const left = typeof a === 'string' ? Buffer.from(a, encoding) : a
  const right = typeof b === 'string' ? Buffer.from(b, encoding) : b
  return left.byteLength === right.byteLength && timingSafeEqual(left, right)
}

/** Timers that end together, never keep the process alive, and whose callbacks can throw without harm. */
class TimerSet {
  /** What cancels them. */
  readonly #live = new Set<() => void>()
  readonly #mark: number
  readonly #onError: (thrown: unknown) => void
  readonly #surroundings: Surroundings
  #stopped = false

  /** `key` of the instance. */
  constructor(key: string, onError: (thrown: unknown) => void, surroundings: Surroundings) {
    this.#mark = markOf(key)
    this.#onError = onError
    this.#surroundings = surroundings
  }

  start(callback: () => unknown, durationMs: number, repeat: boolean): HostTimer {
    if (typeof callback !== 'function')
      throw new TypeError(`A timer needs a function, not ${typeof callback}`)
    // Node would run a longer or unordered one after 1 ms.
    if (!(durationMs >= 0 && durationMs <= DURATION_MS_MAX)) {
      throw new RangeError(`A timer of ${durationMs} ms is not possible; at most ${DURATION_MS_MAX} are`)
    }
    if (this.#stopped) return { cancel() {} }
    const cancel = (): void => {
      stop()
      this.#live.delete(cancel)
    }
    const stop = this.#surroundings.startTimer(
      () => {
        if (!repeat) this.#live.delete(cancel)
        this.#call(callback)
      },
      durationMs,
      repeat,
    )
    this.#live.add(cancel)
    return { cancel }
  }

  stop(): void {
    this.#stopped = true
    for (const cancel of this.#live) cancel()
  }

  /** An async callback is allowed by its type; its rejection must not become the process's end. */
  #call(callback: () => unknown): void {
    runningMark[0] = this.#mark
    try {
      const result = callback()
      if (result instanceof Promise) result.catch(this.#onError)
    } catch (thrown) {
      this.#onError(thrown)
    } finally {
      runningMark[0] = NOBODY
    }
  }
}
