import type { Socket } from 'node:net'
import { GatewayError } from '../base/errors.ts'
import { LineCutter, LineTooLong } from '../base/line-cutter.ts'
import type { CONTROL_LIMITS } from '../config/limits.ts'
import type { ChangeWait, ControlCommand, ControlRequest, ControlResponse } from '../protocol/control.ts'
import { failureOf } from '../protocol/failure.ts'
import { parseRequest } from './control-request.ts'

/** The figures may be others in tests. */
export type ControlLimits = { readonly [Name in keyof typeof CONTROL_LIMITS]: number }

export interface ControlConnectionOptions {
  readonly limits: ControlLimits
  handle(command: ControlCommand, who: string, left: AbortSignal): Promise<unknown>
  waiting(): ChangeWait | null
  /** It watches from now on, or watches something else. */
  onWatch(): void
  /** Called once. `why` it was cut by us, or null. */
  onClose(why: string | null): void
}

/** What a connection wants to be told of. */
export type Watching = 'nothing' | 'events' | 'events and traces'

/** One client of the control socket. Nothing that it sends, or does not read, costs more than the limits say. */
export class ControlConnection {
  readonly #socket: Socket
  readonly #options: ControlConnectionOptions
  readonly #cutter: LineCutter
  /** Read and not worked on yet. While there are any, nothing more is read. */
  #waiting: string[] = []
  #running = 0
  /** Of the client: nobody reads the answers any more. */
  readonly #left = new AbortController()
  #watching: Watching = 'nothing'
  #skippedTraces = 0
  #hasEnded = false
  #why: string | null = null

  constructor(socket: Socket, options: ControlConnectionOptions) {
    this.#socket = socket
    this.#options = options
    this.#cutter = new LineCutter(options.limits.requestBytesMax)
    socket.on('data', (piece: Buffer) => this.#read(() => this.#cutter.push(piece)))
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.#work())
    socket.on('timeout', () => {
      if (this.#running === 0 && this.#watching === 'nothing') socket.destroy()
    })
    // A client that goes away while we write is no fault of ours; 'close' follows.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#watching = 'nothing'
      this.#left.abort()
      options.onClose(this.#why)
    })
    socket.setTimeout(options.limits.idleMs)
  }

  get watching(): Watching {
    return this.#watching
  }

  /**
   * Sends an event, given as its line. A watcher that does not read loses traces first, then its connection. `traces`: how many it
   * tells of.
   */
  notify(line: string, traces: number): void {
    if (this.#socket.destroyed) return
    const { traceBacklogBytesMax, backlogBytesMax } = this.#options.limits
    const backlogBytes = this.#socket.writableLength
    if (traces > 0 && backlogBytes > traceBacklogBytesMax) {
      this.#skippedTraces += traces
      return
    }
    if (backlogBytes > backlogBytesMax) {
      this.cut(`it left ${backlogBytes} bytes of events unread`)
      return
    }
    if (this.#skippedTraces > 0) {
      this.#send({ kind: 'event', event: { kind: 'skipped', traces: this.#skippedTraces } })
      this.#skippedTraces = 0
    }
    this.#socket.write(line)
  }

  cut(why: string): void {
    this.#why = why
    this.#socket.destroy()
  }

  /** Answers with an error whatever it wants, and closes. */
  turnAway(error: GatewayError): void {
    this.#hasEnded = true
    this.#send({ kind: 'failed', id: 0, failure: failureOf(error) })
    this.#socket.destroySoon()
  }

  /** One last line. What still comes is thrown away for a while: a client that is cut while it writes reads nothing. */
  #refuse(error: GatewayError): void {
    this.#hasEnded = true
    this.#waiting = []
    this.#send({ kind: 'failed', id: 0, failure: failureOf(error) })
    this.#socket.end()
    this.#socket.removeAllListeners('data').resume()
    const timer = setTimeout(() => this.#socket.destroy(), this.#options.limits.lingerMs)
    this.#socket.once('close', () => clearTimeout(timer))
  }

  #read(lines: () => readonly string[]): void {
    try {
      for (const line of lines()) if (line.trim() !== '') this.#waiting.push(line)
    } catch (thrown) {
      if (!(thrown instanceof LineTooLong)) throw thrown
      const detail = `Cannot read the request: ${thrown.message}.`
      this.#refuse(new GatewayError('CONTROL_REQUEST_INVALID', detail))
      return
    }
    this.#work()
  }

  /** Starts what may start. Who does not read the answers gets no further ones made. */
  #work(): void {
    const { requestsAtOnceMax } = this.#options.limits
    while (this.#running < requestsAtOnceMax && !this.#socket.writableNeedDrain) {
      const line = this.#waiting.shift()
      if (line === undefined) break
      this.#start(line)
    }
    if (this.#waiting.length > 0) this.#socket.pause()
    else this.#socket.resume()
    if (this.#hasEnded && this.#running === 0 && this.#waiting.length === 0) this.#socket.end()
  }

  #start(line: string): void {
    const parsed = parseRequest(line)
    if (parsed.ok) {
      this.#running += 1
      void this.#answer(parsed.request)
    } else {
      this.#send({ kind: 'failed', id: parsed.id, failure: failureOf(parsed.error) })
    }
  }

  async #answer({ id, who, ...command }: ControlRequest): Promise<void> {
    let response: ControlResponse
    const timer = setInterval(() => this.#tellPending(id), this.#options.limits.pendingMs)
    try {
      response = { kind: 'ok', id, result: await this.#resultOf(command, who) }
    } catch (thrown) {
      response = { kind: 'failed', id, failure: failureOf(thrown) }
    } finally {
      clearInterval(timer)
    }
    this.#running -= 1
    if (this.#socket.destroyed) return
    this.#send(response)
    this.#work()
  }

  /**
   * A client that has said all may have left, or wait for its answer: only what is written to it tells. Who does not read
   * gets no more of it.
   */
  #tellPending(id: number): void {
    if (this.#socket.writableLength > 0) return
    this.#send({ kind: 'pending', id, wait: this.#options.waiting() })
  }

  async #resultOf(command: ControlCommand, who: string): Promise<unknown> {
    if (command.command !== 'watch') return this.#options.handle(command, who, this.#left.signal)
    this.#watching = command.traces ? 'events and traces' : 'events'
    this.#options.onWatch()
    return null
  }

  /** Whoever says no more may still wait for answers; a watcher that ends is gone. */
  #onEnd(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    if (this.#watching !== 'nothing') {
      this.#socket.destroy()
      return
    }
    this.#read(() => [this.#cutter.end()])
  }

  #send(response: ControlResponse): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(response)}\n`)
  }
}
