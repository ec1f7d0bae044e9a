import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'

/** Long enough for a connection over loopback, however busy the machine is. */
const CONNECTED_WITHIN_MS = 300

/** A peer that never accepts: it listens, and then its thread stands still until the test ends. */
const LISTENER = `
  const { parentPort } = require('node:worker_threads')
  const { createServer } = require('node:net')
  const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  })
`

/**
 * A port of 127.0.0.1 on which connections neither succeed nor fail, since the backlog of its listener is full. Linux
 * drops what comes then; elsewhere connections may be refused.
 */
export async function fullPort(t: Pick<TestContext, 'after'>): Promise<number> {
  const worker = new Worker(LISTENER, { eval: true })
  const sockets: Socket[] = []
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await worker.terminate()
  })
  const [port] = (await once(worker, 'message')) as [number]
  for (let isFull = false; !isFull; ) {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {})
    sockets.push(socket)
    isFull = await Promise.race([
      once(socket, 'connect').then(() => false),
      delay(CONNECTED_WITHIN_MS, true, { ref: false }),
    ])
  }
  return port
}
