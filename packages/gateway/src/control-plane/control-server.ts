import { once } from 'node:events'
import { chmod, lstat, mkdir, rename, rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import type { Log } from '@cardea/sdk'
import { GatewayError, messageOf } from '../base/errors.ts'
import { CONTROL_LIMITS } from '../config/limits.ts'
import type { ChangeWait, ControlCommand, ControlEvent, ControlResponse } from '../protocol/control.ts'
import { ControlConnection, type ControlLimits } from './control-connection.ts'
import { failed, pathToBind, pathToConnect, removePointer, writePointer } from './control-path.ts'

export interface ControlServerOptions {
  /** Absolute: `controlSocketPath(directory)`. */
  readonly path: string
  readonly log: Log
  /** The result of a command; `watch` never gets here. What it throws is the answer too. `left`: nobody waits for it any more. */
  handle(command: ControlCommand, who: string, left: AbortSignal): Promise<unknown>
  /** What changes wait for; asked while an answer takes long. */
  waiting?(): ChangeWait | null
  /** The first one that wants traces came (true), or the last one went (false). */
  onTracing(on: boolean): void
  /** The socket, and whatever else was in its folder, was removed; it is opened again when this resolves. */
  onRemoved?(): Promise<void>
  /** Others than the defaults; for tests. */
  readonly limits?: Partial<ControlLimits>
}

/**
 * The control socket: commands in, answers and events out. Who may use it is decided by the file system alone: the
 * socket has mode 0600 before it has its name.
 */
export class ControlServer {
  readonly #options: ControlServerOptions
  readonly #limits: ControlLimits
  readonly #connections = new Set<ControlConnection>()
  #server: Server | null = null
  #bound: { readonly path: string; readonly inode: number | null } | null = null
  #isTracing = false
  #presenceTimer: NodeJS.Timeout | undefined
  #restoring: Promise<void> = Promise.resolve()
  #hasComplained = false

  constructor(options: ControlServerOptions) {
    this.#options = options
    this.#limits = { ...CONTROL_LIMITS, ...options.limits }
  }

  /**
   * Opens the socket, in place of one that a dead process left.
   *
   * @throws GatewayError CONTROL_SOCKET_FAILED: another gateway runs here, or the path cannot be had.
   */
  async open(): Promise<void> {
    const { path } = this.#options
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      const bound = await pathToBind(path)
      await this.#refuseObstacle(bound)
      await this.#bind(bound)
      await writePointer(path, bound)
      const look = (): void => {
        this.#restoring = this.#restoring.then(() => this.#restore())
      }
      this.#presenceTimer = setInterval(look, this.#limits.presenceMs).unref()
    } catch (thrown) {
      await this.close()
      throw thrown instanceof GatewayError ? thrown : failed(path, messageOf(thrown), thrown)
    }
  }

  /** Tells those who watch. Cheap when nobody does. */
  broadcast(event: ControlEvent): void {
    const traces = event.kind === 'trace' ? 1 : event.kind === 'skipped' ? event.traces : 0
    if (traces > 0 && !this.#isTracing) return
    let line: string | null = null
    for (const connection of this.#connections) {
      if (connection.watching === 'nothing') continue
      if (traces > 0 && connection.watching !== 'events and traces') continue
      line ??= lineOf({ kind: 'event', event })
      connection.notify(line, traces)
    }
  }

  /** Ends every connection and removes the socket. Safe to call again. */
  async close(): Promise<void> {
    clearInterval(this.#presenceTimer)
    await this.#restoring
    const server = this.#server
    const bound = this.#bound
    this.#server = null
    this.#bound = null
    // A successor may have taken the name over. Asked while we listen: then nobody else can get our inode.
    const isOurs = bound !== null && (await inodeOf(bound.path)) === bound.inode
    for (const connection of this.#connections) connection.cut('the supervisor ends')
    if (server !== null) await new Promise((resolve) => server.close(resolve))
    if (!isOurs) return
    await rm(bound.path, { force: true })
    await removePointer(this.#options.path, bound.path)
  }

  /** Only a socket that nobody listens on may be replaced. */
  async #refuseObstacle(bound: string): Promise<void> {
    const found = await lstat(bound).catch(() => null)
    if (found === null) return
    if (!found.isSocket()) throw failed(this.#options.path, `${bound} is there and is no socket. Remove it`)
    if (await isListening(bound)) {
      throw failed(
        this.#options.path,
        'another gateway runs in this folder. Stop it, or start this one elsewhere',
      )
    }
  }

  /** Bound under another name in a folder that nobody else may enter, then named: never is it there with other rights. */
  async #bind(path: string): Promise<void> {
    const folder = join(dirname(path), '.open')
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { mode: 0o700 })
    try {
      const unnamed = join(folder, 's')
      this.#server = await listen(unnamed, (socket) => this.#accept(socket))
      this.#server.on('error', ({ message }) =>
        this.#options.log.error(`The control socket failed: ${message}`),
      )
      await chmod(unnamed, 0o600)
      const inode = await inodeOf(unnamed)
      await rename(unnamed, path)
      this.#bound = { path, inode }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  /** Opens the socket again when it was removed; not one that a successor has replaced. Never rejects. */
  async #restore(): Promise<void> {
    const { path, log } = this.#options
    const [server, bound] = [this.#server, this.#bound]
    if (server === null || bound === null) return
    try {
      const inode = await inodeOf(bound.path)
      if (inode !== null && (inode !== bound.inode || (await pathToConnect(path)) === bound.path)) return
      await this.#options.onRemoved?.()
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await this.#bind(await pathToBind(path))
      await writePointer(path, bound.path)
      // Connections that it has go on.
      server.close()
      this.#hasComplained = false
      log.warn('The control socket had been removed and is opened again', { path })
    } catch (thrown) {
      if (!this.#hasComplained) {
        log.error(`The control socket was removed and cannot be opened again: ${messageOf(thrown)}`)
      }
      this.#hasComplained = true
    }
  }

  #accept(socket: Socket): void {
    const connection = new ControlConnection(socket, {
      limits: this.#limits,
      handle: this.#options.handle,
      waiting: () => this.#options.waiting?.() ?? null,
      onWatch: () => this.#updateTracing(),
      onClose: (why) => {
        this.#connections.delete(connection)
        this.#updateTracing()
        if (why !== null) this.#options.log.debug(`A control connection was cut: ${why}`)
      },
    })
    if (this.#connections.size >= this.#limits.connectionsMax) {
      const detail = `Cannot take the connection: there are ${this.#connections.size} already.`
      connection.turnAway(new GatewayError('CONTROL_BUSY', detail))
      return
    }
    this.#connections.add(connection)
  }

  #updateTracing(): void {
    const isTracing = [...this.#connections].some(({ watching }) => watching === 'events and traces')
    if (isTracing === this.#isTracing) return
    this.#isTracing = isTracing
    this.#options.onTracing(isTracing)
  }
}

async function listen(path: string, onConnection: (socket: Socket) => void): Promise<Server> {
  // Half-open: whoever pipes a command in and says no more still gets the answer.
  const server = createServer({ allowHalfOpen: true }, onConnection)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return server
}

async function isListening(path: string): Promise<boolean> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
    return true
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return false
    // Its backlog is full: busy, but there.
    if (code === 'EAGAIN') return true
    throw thrown
  } finally {
    socket.destroy()
  }
}

async function inodeOf(path: string): Promise<number | null> {
  return lstat(path).then(
    ({ ino }) => ino,
    () => null,
  )
}

function lineOf(response: ControlResponse): string {
  return `${JSON.stringify(response)}\n`
}
