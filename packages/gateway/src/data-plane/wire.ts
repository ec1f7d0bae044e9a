import net from 'node:net'
import type { TLSSocket } from 'node:tls'
import { READ_BUFFER_BYTES, readBuffer } from './read-buffer.ts'
import { SWEEP_PERIOD_MS } from './sweeper.ts'
import type { TurnWriter, TurnWrites } from './turn-writes.ts'

/**
 * A socket as the codec uses it: bytes come from one buffer that all plain sockets of the process share, and go out in
 * as few writes as there can be. *Measured* for a relay of small messages: 15 µs a request with the shared buffer
 * (`onread`), 18 µs with `data` events, since those cost a fresh buffer and a pass through the Readable machinery.
 */

export interface WireOwner {
  /** The bytes are only valid during the call: the buffer is shared. */
  onBytes(buffer: Buffer, start: number, end: number): void
  /** The peer sends no more (FIN). */
  onEnd(): void
  /** What was written has left, after `needsDrain` was true. */
  onDrain(): void
  /** Nothing of what waits to be sent has left for the time given to `watchSending`. */
  onSendTimeout(): void
  /** The socket is gone, `error` says why if it was not in good order. Called once, last. */
  onClosed(error: Error | null): void
  /** One of the others threw. The connection is to pay for it, and no other. */
  onFault(error: unknown): void
}

/**
 * Up to here a head and its content leave as one latin1 string: below Node's 16 KiB on-stack copy, and cheaper than
 * two writes or a buffer.
 */
const TEXT_BYTES_MAX = 4 * 1024

/** Room for a full read, a head and chunk framing. Used again as long as the kernel takes each write at once. */
const SCRATCH_BYTES = READ_BUFFER_BYTES + 36 * 1024
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

/**
 * On Linux an accepted socket has TCP_NODELAY from the one that listens: a call into the kernel less for each connection,
 * 3.7 of 75 µs (*measured*).
 */
const INHERITS_NO_DELAY = process.platform === 'linux'

/** A write that has failed, on a socket that is read to its end before it goes. */
interface FailedWrite {
  readonly error: Error
  readonly end: (error: Error) => void
  bytesRead: number
  quietTurns: number
  /** Whoever paused it wants the rest, and resumes. */
  awaitsResume: boolean
}

/** Turns of the event loop, each of which looks at all sockets. */
const QUIET_TURNS_MAX = 2

/** A system call and some microseconds each: once a second. */
const SWEEPS_PER_LOOK = 1_000 / SWEEP_PERIOD_MS

/** What sockets of a worker have in common. */
export interface WireOptions {
  readonly relayBufferBytes: number
  readonly writes: TurnWrites
}

export class Wire implements TurnWriter {
  readonly #socket: net.Socket
  readonly #owner: WireOwner
  readonly #writes: TurnWrites
  /** Waits for the end of the turn; latin1. */
  #deferred = ''
  /** What follows `#deferred`. */
  #then: 'nothing' | 'end' | 'close' = 'nothing'
  /** See `watchSending`; of `#deferred`. */
  #watchThenMs = 0
  #paused = false
  /** Since it was paused, or looked at last. */
  #pausedSweeps = 0
  #error: Error | null = null
  #failed: FailedWrite | null = null

  private constructor(socket: net.Socket, owner: WireOwner, writes: TurnWrites) {
    this.#socket = socket
    this.#owner = owner
    this.#writes = writes
    onEvent(socket, 'end', owner, () => owner.onEnd())
    onEvent(socket, 'drain', owner, () => owner.onDrain())
    onEvent(socket, 'timeout', owner, () => {
      // Without a drain nothing ends the watch, and a peer that has taken all may be silent.
      if (this.hasUnsent) owner.onSendTimeout()
    })
    socket.on('error', (error) => {
      this.#error = error
    })
    onEvent(socket, 'close', owner, () => owner.onClosed(this.#error))
  }

  /** Takes a connection from a listening handle that has TCP_NODELAY. Reading starts at once. */
  static accept(handle: object, { relayBufferBytes, writes }: WireOptions, owner: WireOwner): Wire {
    const options = {
      // A raw handle in place of options.fd: what node:net itself does with connections it accepts.
      handle,
      allowHalfOpen: true,
      highWaterMark: relayBufferBytes,
      onread: onreadFor(owner),
    }
    const socket = new net.Socket(options as net.SocketConstructorOpts)
    if (!INHERITS_NO_DELAY) socket.setNoDelay(true)
    return new Wire(socket, owner, writes)
  }

  /** Connects without TLS. `onConnected` is called when the connection stands. */
  static connect(
    options: net.TcpSocketConnectOpts,
    { relayBufferBytes, writes }: WireOptions,
    owner: WireOwner,
    onConnected: () => void,
  ): Wire {
    const socket = net.connect({
      ...options,
      noDelay: true,
      allowHalfOpen: true,
      highWaterMark: relayBufferBytes,
      onread: onreadFor(owner),
    } as net.NetConnectOpts)
    onEvent(socket, 'connect', owner, onConnected)
    return new Wire(socket, owner, writes).#readsOn()
  }

  /** Takes over a TLS socket, which has no `onread`. `onConnected` is called when the handshake is done. */
  static secure(socket: TLSSocket, writes: TurnWrites, owner: WireOwner, onConnected: () => void): Wire {
    onEvent(socket, 'data', owner, (chunk) => owner.onBytes(chunk, 0, chunk.length))
    onEvent(socket, 'secureConnect', owner, onConnected)
    return new Wire(socket, owner, writes).#readsOn()
  }

  /**
   * A server that has answered and does not want the rest of a request closes, and the kernel resets what is still sent
   * to it. Node ends a socket with the first write that fails, and the answer, which lies in the kernel, would be lost.
   */
  #readsOn(): this {
    const socket = this.#socket
    const end = socket.destroy.bind(socket)
    socket.destroy = (error?: Error) => {
      if (error === undefined || this.#failed !== null || !isFailedWrite(error)) return end(error)
      this.#failed = { error, end, bytesRead: socket.bytesRead, quietTurns: 0, awaitsResume: false }
      stayReadable(socket)
      setImmediate(() => this.#endWhenRead())
      return socket
    }
    return this
  }

  /** What had come before the reset can be read at once, so turns without a byte are the end of it. */
  #endWhenRead(): void {
    const socket = this.#socket
    const failed = this.#failed
    if (failed === null || socket.destroyed) return
    failed.awaitsResume = this.#paused
    if (this.#paused) return
    failed.quietTurns = socket.bytesRead === failed.bytesRead ? failed.quietTurns + 1 : 0
    failed.bytesRead = socket.bytesRead
    if (failed.quietTurns > QUIET_TURNS_MAX) failed.end(failed.error)
    else setImmediate(() => this.#endWhenRead())
  }

  get peerAddress(): string {
    return this.#socket.remoteAddress ?? ''
  }

  /** More waits to leave than the relay buffer allows: pause what feeds this wire until `onDrain`. */
  get needsDrain(): boolean {
    return this.#socket.writableNeedDrain
  }

  /** Something waits that the kernel has not taken yet. */
  get hasUnsent(): boolean {
    return this.#deferred !== '' || this.#socket.writableLength > 0
  }

  /** Nothing can be sent any more, though what the peer has sent may still come. */
  get isBroken(): boolean {
    return this.#failed !== null || this.#socket.destroyed
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#pausedSweeps = 0
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#socket.resume()
    if (this.#failed?.awaitsResume === true) setImmediate(() => this.#endWhenRead())
  }

  /**
   * To be called at every sweep. A socket that is not read tells nothing of its peer. A write of no bytes sends nothing, and
   * fails after a reset. FIN shows to nobody but who reads all that came before it.
   */
  lookForReset(): void {
    if (!this.#paused || ++this.#pausedSweeps < SWEEPS_PER_LOOK) return
    this.#pausedSweeps = 0
    // What waits to be sent fails by itself.
    if (this.#socket.writable && !this.hasUnsent) this.#socket.write('', 'latin1')
  }

  writeText(text: string): void {
    const before = this.#deferred
    // What waits must never fill the socket: by `needsDrain` the writer learns of that right after its write.
    const mayWait = this.#writes.isGathering && before.length + text.length < TEXT_BYTES_MAX
    if (!mayWait || this.#socket.writableLength > 0) {
      this.writeDeferred()
      this.#socket.write(text, 'latin1')
      return
    }
    this.#deferred = before + text
    if (before === '') this.#writes.add(this)
  }

  writeDeferred(): void {
    const text = this.#deferred
    if (text === '') return
    this.#deferred = ''
    if (this.#socket.destroyed) return
    try {
      if (this.#then === 'end') this.#socket.end(text, 'latin1')
      else this.#socket.write(text, 'latin1')
      if (this.#then === 'close') this.#closeOrEnd()
      if (this.#watchThenMs !== 0 && this.#socket.writableLength > 0) this.watchSending(this.#watchThenMs)
    } catch (error) {
      this.#owner.onFault(error)
    }
  }

  /** Writes `before` (latin1), the bytes, and `after` as one piece. The bytes are copied: they may be shared. */
  writeBytes(before: string, buffer: Buffer, start: number, end: number, after: string): void {
    const length = before.length + (end - start) + after.length
    if (length <= TEXT_BYTES_MAX) {
      this.writeText(before + buffer.toString('latin1', start, end) + after)
      return
    }
    this.writeDeferred()
    const reusable = length <= SCRATCH_BYTES && this.#socket.writableLength === 0
    const target = reusable ? scratch : Buffer.allocUnsafeSlow(length)
    let at = target.write(before, 0, 'latin1')
    at += buffer.copy(target, at, start, end)
    at += target.write(after, at, 'latin1')
    this.#socket.write(target.subarray(0, at))
    // What the kernel did not take at once is still read from the buffer later.
    if (reusable && this.#socket.writableLength > 0) scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  }

  /** Has the owner told when sending makes no progress for `timeoutMs`; 0 ends the watch. Node counts partial writes. */
  watchSending(timeoutMs: number): void {
    // Most of what waits for the end of the turn leaves at once then, and needs no timer.
    this.#watchThenMs = this.#deferred === '' ? 0 : timeoutMs
    if (this.#watchThenMs === 0) this.#socket.setTimeout(timeoutMs)
  }

  /** Sends FIN after what was written. Idempotent. */
  end(): void {
    if (this.#deferred !== '') {
      this.#then = 'end'
      return
    }
    // A second end() makes an error with a stack inside Node, though nobody listens: 4 % of a short connection's CPU.
    if (!this.#socket.writableEnded) this.#socket.end()
  }

  /**
   * Closes as soon as the kernel has all that was written, which it delivers with FIN after it. Where that is not at once,
   * it is the same as `end`. What the peer sends meanwhile is answered with RST, which may take away what was written: only
   * for a peer that sends no more.
   */
  endAndClose(): void {
    if (this.#deferred === '') this.#closeOrEnd()
    else this.#then = 'close'
  }

  #closeOrEnd(): void {
    if (this.#socket.writableLength === 0) this.#socket.destroy()
    else this.end()
  }

  /**
   * Ends at once. What the kernel has goes out, with FIN after it; what is still here is lost, and the peer is not told so:
   * see `close`.
   */
  destroy(): void {
    this.writeDeferred()
    this.#socket.destroy()
  }

  /** Ends at once; with RST where something of what was written is still here. */
  close(): void {
    this.writeDeferred()
    if (this.#socket.writableLength > 0) this.reset()
    else this.#socket.destroy()
  }

  /** Ends with RST, so that the peer cannot take a cut message for a whole one. */
  reset(): void {
    this.writeDeferred()
    const socket = this.#socket
    // While FIN is on its way a reset fails, and Node never closes the socket. All that it had to send is whole then.
    const isEnding = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0
    if (isEnding) socket.destroy()
    else socket.resetAndDestroy()
  }
}

function isFailedWrite(error: NodeJS.ErrnoException): boolean {
  return error.syscall === 'write' && (error.code === 'EPIPE' || error.code === 'ECONNRESET')
}

/** Node gives out no more bytes of a stream once one side of it has failed; what TLS has decrypted comes that way. */
function stayReadable(socket: net.Socket): void {
  const state: unknown = Reflect.get(socket, '_readableState')
  if (typeof state === 'object' && state !== null) Reflect.set(state, 'errored', null)
}

/** Uncaught, a mistake of ours in what an event leads to would end the worker, and with it everybody's connections. */
function onEvent(socket: net.Socket, event: string, owner: WireOwner, act: (data: Buffer) => void): void {
  socket.on(event, (data: Buffer) => {
    try {
      act(data)
    } catch (error) {
      owner.onFault(error)
    }
  })
}

function onreadFor(owner: WireOwner): net.OnReadOpts {
  return {
    buffer: readBuffer,
    callback(bytesRead, buffer) {
      try {
        owner.onBytes(buffer as Buffer, 0, bytesRead)
      } catch (error) {
        owner.onFault(error)
      }
      return true
    },
  }
}
