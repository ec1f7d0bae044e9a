import { once } from 'node:events'
import { lstat } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { GatewayError, messageOf } from '../base/errors.ts'
import { LineCutter } from '../base/line-cutter.ts'
import { PendingRequests } from '../base/pending-requests.ts'
import { systemErrorCode } from '../base/system-error.ts'
import { CONTROL_LIMITS } from '../config/limits.ts'
import { controlSocketPath, pathToConnect } from '../control-plane/control-path.ts'
import { isFolderLocked } from '../control-plane/store/folder-lock.ts'
import type {
  ChangeWait,
  ControlCommand,
  ControlEvent,
  ControlResponse,
  ControlResults,
} from '../protocol/control.ts'
import { errorOf } from '../protocol/failure.ts'

/** What the result of a command is. */
export type ResultOf<Command extends ControlCommand> = ControlResults[Command['command']]

type Answer = Exclude<ControlResponse, { readonly kind: 'event' | 'pending' }>

/** Commands that change nothing: they may be asked again. */
const QUERIES: ReadonlySet<ControlCommand['command']> = new Set([
  'status',
  'history',
  'plugin-versions',
  'plugin-info',
  'config-diff',
  'watch',
])

export interface AskOptions {
  /** The folder of the gateway's config file, absolute. */
  readonly directory: string
  /** Who asks, for the history. */
  readonly who: string
  /** How long to wait for the supervisor of a gateway that lives. Default `CONTROL_LIMITS.restartWaitMs`. */
  readonly waitMs?: number
  /** The answer takes long because a change waits for room; again and again while it does. */
  readonly onWait?: (wait: ChangeWait) => void
}

/**
 * Asks the gateway that runs in a folder. Its supervisor may be starting anew just then: that is waited for, and a
 * question that got no answer is asked again. A change is not: it may have gone through.
 *
 * @throws GatewayError of the gateway, or GATEWAY_NOT_RUNNING, CONTROL_REFUSED, CONTROL_LOST.
 */
export async function askGateway<Command extends ControlCommand>(
  command: Command,
  options: AskOptions,
): Promise<ResultOf<Command>> {
  const { directory, who, waitMs = CONTROL_LIMITS.restartWaitMs, onWait } = options
  const deadline = performance.now() + waitMs
  for (;;) {
    const client = await connectToGateway(directory, who, deadline)
    try {
      return await client.ask(command, onWait)
    } catch (thrown) {
      const isLost = thrown instanceof GatewayError && thrown.code === 'CONTROL_LOST'
      const mayRepeat = isLost && client.isClosed && QUERIES.has(command.command)
      if (!mayRepeat || performance.now() >= deadline) throw thrown
    } finally {
      client.close()
    }
  }
}

export interface WatchOptions {
  readonly directory: string
  readonly who: string
  readonly traces: boolean
  /** Ends it. */
  readonly signal: AbortSignal
  /** At the beginning, and after each time that the supervisor was gone: what happened meanwhile is not told. */
  onConnected(client: ControlClient): Promise<void>
  onEvent(event: ControlEvent): void
}

/** Watches the gateway of a folder, whenever there is one, until the signal. Never rejects. */
export async function watchGateway(options: WatchOptions): Promise<void> {
  const { directory, who, traces, signal } = options
  while (!signal.aborted) {
    try {
      const client = await connectToGateway(directory, who, performance.now(), options.onEvent)
      const close = (): void => client.close()
      signal.addEventListener('abort', close)
      try {
        if (signal.aborted) return
        await client.ask({ command: 'watch', traces })
        await options.onConnected(client)
        await client.closed
      } finally {
        signal.removeEventListener('abort', close)
        client.close()
      }
    } catch (thrown) {
      // Not there yet, or not any more.
      if (!(thrown instanceof GatewayError)) throw thrown
    }
    await delay(CONTROL_LIMITS.retryDelayMs, undefined, { signal }).catch(() => {})
  }
}

/** Connects, and tries again until the deadline while there is a gateway: its supervisor died, and the next one comes. */
async function connectToGateway(
  directory: string,
  who: string,
  deadline: number,
  onEvent: (event: ControlEvent) => void = () => {},
): Promise<ControlClient> {
  for (;;) {
    const path = await pathToConnect(controlSocketPath(directory))
    const socket = connect({ path })
    try {
      await once(socket, 'connect')
      return new ControlClient(socket, who, onEvent)
    } catch (thrown) {
      socket.destroy()
      const code = systemErrorCode(thrown)
      if (code === 'EACCES' || code === 'EPERM') throw await refusedError(path)
      if (!(await isFolderLocked(dirname(controlSocketPath(directory)))))
        throw notRunningError(directory, code, thrown)
      if (performance.now() >= deadline) throw notListeningError(directory, thrown)
    }
    await delay(CONTROL_LIMITS.retryDelayMs)
  }
}

/** One connection to the control socket. */
export class ControlClient {
  /** Resolves when the connection has ended, however. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #who: string
  readonly #onEvent: (event: ControlEvent) => void
  readonly #cutter = new LineCutter(CONTROL_LIMITS.responseBytesMax)
  readonly #pending = new PendingRequests<Answer>()
  #isClosed = false
  #onWait: (wait: ChangeWait) => void = () => {}
  /** What it said that belongs to no request: why it turned us away. */
  #parting: GatewayError | null = null

  constructor(socket: Socket, who: string, onEvent: (event: ControlEvent) => void) {
    this.#socket = socket
    this.#who = who
    this.#onEvent = onEvent
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('data', (piece: Buffer) => this.#read(piece))
    // 'close' follows.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isClosed = true
      this.#pending.rejectAll('its supervisor ended the connection')
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Throws the gateway's own error, or CONTROL_LOST. */
  async ask<Command extends ControlCommand>(
    command: Command,
    onWait: (wait: ChangeWait) => void = () => {},
  ): Promise<ResultOf<Command>> {
    this.#onWait = onWait
    const isQuery = QUERIES.has(command.command)
    const timeoutMs = isQuery ? CONTROL_LIMITS.answerTimeoutMs : CONTROL_LIMITS.changeTimeoutMs
    const response = await this.#request(command, timeoutMs).catch((thrown: unknown) => {
      if (this.#parting !== null) throw this.#parting
      const hint = isQuery ? '' : '. "cardea history" shows whether it went through'
      throw new GatewayError('CONTROL_LOST', `${messageOf(thrown)}${hint}`, { cause: thrown })
    })
    if (response.kind === 'failed') throw errorOf(response.failure)
    // Gateway and command line are one program: its answer has the form that ours would have.
    return response.result as ResultOf<Command>
  }

  close(): void {
    this.#socket.destroy()
  }

  async #request(command: ControlCommand, timeoutMs: number): Promise<Answer> {
    const { id, answer } = this.#pending.start(`The gateway did not answer "${command.command}"`, timeoutMs)
    if (this.#isClosed) this.#pending.rejectAll('its supervisor ended the connection')
    else this.#socket.write(`${JSON.stringify({ id, who: this.#who, ...command })}\n`)
    return answer
  }

  #read(piece: Buffer): void {
    let responses: ControlResponse[]
    try {
      responses = this.#cutter.push(piece).map((line) => JSON.parse(line) as ControlResponse)
    } catch {
      // What speaks so is no gateway of ours.
      this.#socket.destroy()
      return
    }
    for (const response of responses) this.#take(response)
  }

  #take(response: ControlResponse): void {
    if (response.kind === 'event') this.#onEvent(response.event)
    else if (response.kind === 'pending') {
      if (response.wait !== null) this.#onWait(response.wait)
    } else if (response.id !== 0) this.#pending.settle(response.id, response)
    else if (response.kind === 'failed') this.#parting = errorOf(response.failure)
  }
}

function notRunningError(directory: string, code: string, cause: unknown): GatewayError {
  const isAbsent = code === 'ENOENT' || code === 'ENOTDIR' || code === 'ECONNREFUSED'
  const why = isAbsent ? '' : ` (${messageOf(cause)})`
  return new GatewayError(
    'GATEWAY_NOT_RUNNING',
    `No gateway runs in ${directory}${why}. Start one there with "cardea serve", or name the config file of the one ` +
      'you mean with --config FILE.',
    { cause },
  )
}

function notListeningError(directory: string, cause: unknown): GatewayError {
  return new GatewayError(
    'CONTROL_LOST',
    `A gateway runs in ${directory}, but its supervisor does not listen (${messageOf(cause)}). Its log says why.`,
    { cause },
  )
}

async function refusedError(path: string): Promise<GatewayError> {
  const owner = await lstat(path).then(
    ({ uid }) => `the user with id ${uid}`,
    () => 'another user',
  )
  return new GatewayError(
    'CONTROL_REFUSED',
    `Cannot use ${path}: it belongs to ${owner}. Run the command as the user that runs the gateway.`,
  )
}
