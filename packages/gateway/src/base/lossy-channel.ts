/**
 * Sends a message into a channel between processes. Returns whether more of them may follow at once, as `process.send` does: false
 * when some 128 KB wait for the other side. `onSent` is called in a later turn, once this message and those before it have left.
 */
export type Send<Message> = (message: Message, onSent: () => void) => boolean

/** For messages that are not worth memory: none is taken while the other side is behind with reading. */
export class LossyChannel<Message> {
  readonly #send: Send<Message>
  readonly #onRoom: () => void
  #sent = 0
  /** Of the message that has to leave before others are taken; 0: none. */
  #waitsFor = 0

  /** `onRoom` is called when messages are taken again. */
  constructor(send: Send<Message>, onRoom: () => void) {
    this.#send = send
    this.#onRoom = onRoom
  }

  /** Returns whether it was taken. */
  offer(message: Message): boolean {
    if (this.#waitsFor > 0) return false
    const number = ++this.#sent
    const hasRoom = this.#send(message, () => {
      if (this.#waitsFor !== number) return
      this.#waitsFor = 0
      this.#onRoom()
    })
    if (!hasRoom) this.#waitsFor = number
    return true
  }
}
