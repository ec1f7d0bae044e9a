/**
 * Node's own TCP handle, bound by the master and shared with the workers. Node has no public name for it; `node:cluster`
 * hands the very same object around.
 */
export interface ListenHandle {
  /** Starts listening in this process. Returns 0 or a negative errno. */
  listen(backlog: number): number
  /** TCP_NODELAY, which the sockets that it accepts have from it (see `Wire.accept`). Returns 0 or a negative errno. */
  setNoDelay(on: boolean): number
  close(): void
  /** Set before `listen`: called with 0 or a negative errno, and the handle of the new connection. */
  onconnection?: (error: number, connection: object) => void
  /** Returns 0 or a negative errno; also one that `bind` put off. */
  getsockname(out: object): number
}
