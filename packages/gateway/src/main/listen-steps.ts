import type { ListeningSocket } from './listening-socket.ts'

/** One worker, as far as its listening goes. */
export interface ListenSteps {
  /** What is bound at the moment. */
  sockets(): readonly ListeningSocket[]
  unlisten(socket: ListeningSocket): void
  /** Resolves with false where nothing more is to be asked of the worker. */
  listenOn(socket: ListeningSocket): Promise<boolean>
}

/**
 * Has a worker accept on what is bound, and on nothing else. `accepting`: what it was asked to accept on so far. Resolves with
 * whether it was asked for all.
 */
export async function takeListenSteps(
  accepting: Set<ListeningSocket>,
  { sockets, unlisten, listenOn }: ListenSteps,
): Promise<boolean> {
  const bound = sockets()
  for (const socket of [...accepting]) {
    if (bound.includes(socket)) continue
    accepting.delete(socket)
    unlisten(socket)
  }
  for (const socket of bound) {
    const isBound = (): boolean => sockets().includes(socket)
    // A change that came while the worker answered may have closed it: it can be sent to nobody, and no answer would come.
    if (accepting.has(socket) || !isBound()) continue
    accepting.add(socket)
    try {
      if (!(await listenOn(socket))) return false
    } catch (thrown) {
      // Nor does one where it was closed on its way there, and that is not the worker's fault.
      if (isBound()) throw thrown
    }
  }
  return true
}
