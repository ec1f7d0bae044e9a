import { LossyChannel } from '../base/lossy-channel.ts'
import { endProcess } from './exit-guard.ts'

/** The child's side of the channel to the master. */
export interface MasterChannel<ToMaster> {
  send(message: ToMaster): void
  /** For what may be lost; see `LossyChannel`. */
  lossy(onRoom: () => void): LossyChannel<ToMaster>
  /** Sends, then ends as `endProcess` does once the message is on its way. */
  sendLast(message: ToMaster, exitCode: number, isStuck?: boolean): void
}

/**
 * Makes this process a child of the master: it ends when the master is gone (`onOrphaned` first), and leaves signals to
 * the master, because terminals and init systems send them to all processes of a group.
 */
export function childOfMaster<ToMaster extends object>(
  name: string,
  onOrphaned: () => Promise<void> = async () => {},
): MasterChannel<ToMaster> {
  if (process.send === undefined) {
    process.stderr.write(`The ${name} is started by the gateway; run "cardea serve".\n`)
    endProcess(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
  process.once('disconnect', () => {
    onOrphaned().finally(() => endProcess(1))
  })
  const send = (message: ToMaster, onSent: () => void): boolean => {
    // A master that is gone: 'disconnect' ends us.
    if (process.connected && process.send !== undefined) {
      return process.send(message, undefined, undefined, onSent)
    }
    onSent()
    return true
  }
  return {
    send: (message) => void send(message, () => {}),
    lossy: (onRoom) => new LossyChannel(send, onRoom),
    sendLast: (message, exitCode, isStuck = false) => void send(message, () => endProcess(exitCode, isStuck)),
  }
}
