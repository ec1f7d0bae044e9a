import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takeListenSteps } from './listen-steps.ts'
import type { ListeningSocket } from './listening-socket.ts'

const socketOn = (port: number) => ({ address: { host: '127.0.0.1', port } }) as unknown as ListeningSocket

const [a, b, c] = [socketOn(1), socketOn(2), socketOn(3)]

test('takeListenSteps() takes away what is not bound any more, and asks for what is new, one after the other', async () => {
  const steps: string[] = []
  const accepting = new Set([a, b])
  const isDone = await takeListenSteps(accepting, {
    sockets: () => [b, c],
    unlisten: ({ address }) => void steps.push(`not ${address.port}`),
    listenOn: async ({ address }) => steps.push(`on ${address.port}`) > 0,
  })
  assert.deepEqual([isDone, steps, [...accepting]], [true, ['not 1', 'on 3'], [b, c]])
})

test('takeListenSteps() asks for no socket that a change has closed while the worker answered', async () => {
  let bound = [a, b, c]
  const asked: ListeningSocket[] = []
  const accepting = new Set<ListeningSocket>()
  await takeListenSteps(accepting, {
    sockets: () => bound,
    unlisten: () => assert.fail('nothing is taken away here'),
    listenOn: async (socket) => {
      bound = [a, c]
      return asked.push(socket) > 0
    },
  })
  assert.deepEqual(
    [asked, [...accepting]],
    [
      [a, c],
      [a, c],
    ],
  )
})

test('takeListenSteps() asks a worker that is to end for nothing more', async () => {
  const accepting = new Set<ListeningSocket>()
  const isDone = await takeListenSteps(accepting, {
    sockets: () => [a, b],
    unlisten: () => {},
    listenOn: async () => false,
  })
  assert.deepEqual([isDone, [...accepting]], [false, [a]])
})

test('takeListenSteps() throws what it gets for a socket that is bound, not for one that was closed on its way', async () => {
  let bound = [a, b]
  const closing = takeListenSteps(new Set(), {
    sockets: () => bound,
    unlisten: () => {},
    listenOn: async (socket) => {
      if (socket === b) return true
      bound = [b]
      throw new Error('no answer')
    },
  })
  assert.equal(await closing, true)
  const silent = takeListenSteps(new Set(), {
    sockets: () => bound,
    unlisten: () => {},
    listenOn: () => Promise.reject(new Error('no answer')),
  })
  await assert.rejects(silent, { message: 'no answer' })
})
