import { AsyncResource, createHook } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'
import { relative, sep } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { mapTestFrames } from './test-frames.ts'

/**
 * Ends a process whose tests are done and that something keeps running all the same: node:test would wait for ever, and
 * say nothing. Loaded into the process that runs the tests of a plugin.
 */

/** As they are now: tests put a clock of their own in their place. */
const { setImmediate, setTimeout } = globalThis

const TICK_MS = 1000
/** What closes late, such as connections that HTTP keeps alive, has this much time. Nobody waits for it but who left something open. */
const WAIT_TICKS = 10
/** The file's own `after` hooks may take their time. Where one of them fails, nobody is told that they have ended. */
const HOOKS_TICKS = 60
/** For the report of the tests to get out. */
const REPORT_MS = 500

/** What can keep a process running, as async_hooks calls it. Of anything else the message says no place. */
const KINDS: Readonly<Record<string, string>> = {
  Timeout: 'a timer',
  TCPSERVERWRAP: 'a server',
  TCPWRAP: 'a connection',
  PIPESERVERWRAP: 'a server',
  PIPEWRAP: 'a pipe',
  UDPWRAP: 'a UDP socket',
  PROCESSWRAP: 'a child process',
  FSEVENTWRAP: 'a file watcher',
  STATWATCHER: 'a file watcher',
  WORKER: 'a worker thread',
  MESSAGEPORT: 'a message port',
}

const FRAMES_MAX = 30
const PLACES_MAX = 10

interface Opened {
  readonly kind: string
  /** Its stack says where. */
  readonly made: Error
  readonly resource: WeakRef<object>
}

/** Watches the tests of one file, `name` for messages. To be made before the file is evaluated, where its tests will be. */
export class LeftOpen {
  readonly #name: string
  readonly #opened = new Map<number, Opened>()
  /** In here `after` is a hook of the root, whatever runs. */
  readonly #root = new AsyncResource('LeftOpen')
  #isEvaluated = false
  /** For how many ticks there has to be nothing more: while tests run, for ever. */
  #waitTicks = Number.POSITIVE_INFINITY
  #ticks = 0

  constructor(name: string) {
    this.#name = name
    createHook({
      init: (id, type, _trigger, resource) => this.#remember(id, type, resource),
      destroy: (id) => void this.#opened.delete(id),
    }).enable()
    tracingChannel('node.test').start.subscribe(() => this.#wait(Number.POSITIVE_INFINITY))
    this.#awaitLastTest()
    this.#tick()
  }

  /** The file has been evaluated. Until then more tests may come, also when none is left. */
  evaluated(): void {
    this.#isEvaluated = true
  }

  /**
   * Node calls the root's hooks when no test is left. The first one is ahead of those of the file. The second one, asked
   * for while that runs, is behind them.
   */
  #awaitLastTest(): void {
    this.#afterAll(() => {
      this.#wait(HOOKS_TICKS)
      this.#afterAll(() => {
        this.#wait(WAIT_TICKS)
        setImmediate(() => this.#awaitLastTest())
      })
    })
  }

  #afterAll(hook: () => void): void {
    this.#root.runInAsyncScope(() => after(hook))
  }

  #wait(ticks: number): void {
    this.#waitTicks = ticks
    this.#ticks = 0
  }

  /** Time in which this process stood still, as behind a pipe that nobody reads, is one tick. */
  #tick(): void {
    if (this.#isEvaluated && this.#ticks++ >= this.#waitTicks) this.#end()
    else setTimeout(() => this.#tick(), TICK_MS).unref()
  }

  #end(): void {
    process.stderr.write(this.#message())
    process.once('exit', () => {
      process.exitCode = 1
    })
    setTimeout(() => process.exit(1), REPORT_MS)
    // This is what makes Node report what it has.
    process.emit('beforeExit', 1)
  }

  #message(): string {
    const left = [...this.#opened.values()].filter(({ resource }) => keepsRunning(resource.deref()))
    const lines = new Set(left.map(({ kind, made }) => `  ${kind}${placeOf(made)}\n`))
    const listed = lines.size > 0 ? [...lines] : process.getActiveResourcesInfo().map((type) => `  ${type}\n`)
    return (
      `The tests of ${this.#name} are done, but their process does not end, since something was left open:\n` +
      listed.slice(0, PLACES_MAX).join('') +
      'Clear and close what a test begins, whether it passes or not: with `t.after(() => …)`, or `await using` for testGateway. ' +
      'What a plugin begins ends in its `stop`; timers of `host` end by themselves.\n'
    )
  }

  #remember(id: number, type: string, resource: object): void {
    const kind = KINDS[type]
    if (kind === undefined) return
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = FRAMES_MAX
    this.#opened.set(id, { kind, made: new Error(type), resource: new WeakRef(resource) })
    Error.stackTraceLimit = stackTraceLimit
  }
}

function keepsRunning(resource: object | undefined): boolean {
  if (resource === undefined) return false
  const hasRef: unknown = Reflect.get(resource, 'hasRef')
  return typeof hasRef !== 'function' || Reflect.apply(hasRef, resource, []) === true
}

/** The first line of the author's own: not of Node, a library or this program. */
function placeOf(made: Error): string {
  const stack = mapTestFrames(made)
  for (const [, at = ''] of stack.matchAll(/^ +at (?:.*\()?([^()]+:\d+:\d+)\)?$/gm)) {
    const path = at.startsWith('file:') ? pathOf(at) : at
    const isOwn = path.startsWith(sep) && !path.startsWith(import.meta.dirname + sep)
    if (isOwn && !path.includes(`${sep}node_modules${sep}`)) return `, begun at ${relative('', path)}`
  }
  return ''
}

function pathOf(at: string): string {
  const [, url = '', place = ''] = /^(.*?)(:\d+:\d+)$/.exec(at) ?? []
  return fileURLToPath(url) + place
}
