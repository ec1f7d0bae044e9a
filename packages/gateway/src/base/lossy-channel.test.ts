import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LossyChannel } from './lossy-channel.ts'

/** A channel with room for `roomMax` messages. */
function channel(roomMax: number) {
  const waiting: { readonly message: number; readonly onSent: () => void }[] = []
  const sent: number[] = []
  let rooms = 0
  const lossy = new LossyChannel<number>(
    (message, onSent) => {
      waiting.push({ message, onSent })
      return waiting.length < roomMax
    },
    () => rooms++,
  )
  const read = (count: number): void => {
    for (const { message, onSent } of waiting.splice(0, count)) {
      sent.push(message)
      onSent()
    }
  }
  return { lossy, sent, read, rooms: () => rooms }
}

test('LossyChannel takes nothing while the other side is behind, and says once when it does again', () => {
  const { lossy, sent, read, rooms } = channel(3)
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((message) => lossy.offer(message)),
    [true, true, true, false, false],
  )
  read(2)
  assert.equal(lossy.offer(6), false)
  assert.equal(rooms(), 0)
  read(1)
  assert.equal(rooms(), 1)
  assert.equal(lossy.offer(7), true)
  read(1)
  assert.equal(rooms(), 1)
  assert.deepEqual(sent, [1, 2, 3, 7])
})
