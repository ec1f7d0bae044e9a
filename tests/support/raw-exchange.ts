import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawExchangeOptions {
  readonly host?: string
  /** Ends the exchange as soon as it says so of all bytes received, one character per byte. */
  readonly until?: (received: string) => boolean
  /**
   * Ends the exchange after so much silence. For showing that nothing more comes; whatever can be recognised should be
   * waited for with `until`.
   */
  readonly idleMs?: number
  /** Sends a FIN after the last byte. */
  readonly halfClose?: boolean
  /** Past it the exchange rejects. Default 10 s. */
  readonly deadlineMs?: number
}

export interface RawExchange {
  /** All bytes received, one character per byte. */
  readonly text: string
  readonly bytes: Buffer
  /** Why it ended: the peer's FIN, the peer's RST, or a condition of the options. */
  readonly ended: 'closed' | 'reset' | 'until' | 'idle'
}

/**
 * Opens a connection, writes the bytes and gathers what comes back, with no notion of HTTP: what a client gets on the
 * wire. An array of pieces leaves piece by piece, each in a turn of its own. Strings are one byte per character.
 *
 * Resolves when the peer closes or resets, or as the options say; the connection is then destroyed.
 *
 * @throws Error with all bytes so far when the deadline passes, or when the connection cannot be opened.
 */
export async function rawExchange(
  port: number,
  bytes: string | Uint8Array | readonly (string | Uint8Array)[],
  options: RawExchangeOptions = {},
): Promise<RawExchange> {
  const socket = connect({ port, host: options.host ?? '127.0.0.1', noDelay: true, allowHalfOpen: true })
  try {
    await once(socket, 'connect')
    const answer = gather(socket, options)
    await Promise.all([answer, writePieces(socket, bytes, options.halfClose ?? false)])
    return await answer
  } finally {
    socket.destroy()
  }
}

async function writePieces(
  socket: Socket,
  bytes: string | Uint8Array | readonly (string | Uint8Array)[],
  halfClose: boolean,
): Promise<void> {
  const pieces = typeof bytes === 'string' || bytes instanceof Uint8Array ? [bytes] : bytes
  for (const piece of pieces) {
    if (!socket.writable) return
    // The callback also comes, with an error, when the peer has reset: what it sent before is the answer then.
    await new Promise<void>((resolve) => {
      socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece, () =>
        setImmediate(resolve),
      )
    })
  }
  if (halfClose && socket.writable) socket.end()
}

function gather(socket: Socket, options: RawExchangeOptions): Promise<RawExchange> {
  const { promise, resolve, reject } = Promise.withResolvers<RawExchange>()
  const chunks: Buffer[] = []
  const received = (): string => Buffer.concat(chunks).toString('latin1')
  const finish = (ended: RawExchange['ended']): void => {
    clearTimeout(deadline)
    resolve({ text: received(), bytes: Buffer.concat(chunks), ended })
  }
  const deadlineMs = options.deadlineMs ?? 10_000
  const deadline = setTimeout(() => {
    reject(
      new Error(`No end of the exchange within ${deadlineMs} ms; received ${JSON.stringify(received())}`),
    )
  }, deadlineMs)
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    if (options.until?.(received())) finish('until')
  })
  socket.on('end', () => finish('closed'))
  // After the connection is open, errors are ECONNRESET and EPIPE: the peer has cut it.
  socket.on('error', () => finish('reset'))
  if (options.idleMs !== undefined) socket.setTimeout(options.idleMs, () => finish('idle'))
  return promise
}
