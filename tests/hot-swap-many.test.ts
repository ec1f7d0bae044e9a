import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ForgetfulUpstream } from './leaks/upstream.ts'
import { get, ok } from './support/answers.ts'
import { assertOneEach, serve, versionsOf } from './support/hot-swap.ts'
import { answerEach } from './support/recording-upstream.ts'

/** Before the first count: what is compiled, optimised and cached once is there then. */
const WARM_UP_SWAPS = 1_200

/** By how much the heap may grow in a swap; what a generation is made of takes some 20 KB. */
const HEAP_BYTES_PER_SWAP_MAX = 200

setFlagsFromString('--expose-gc')
// As the gateway's processes: code that is no longer used is collected.
setFlagsFromString('--no-compilation-cache')
const collectGarbage = runInNewContext('gc') as () => void

/** The least of several: what is still on its way out is no leak. */
async function heapBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    await turn()
    collectGarbage()
    least = Math.min(least, process.memoryUsage().heapUsed)
  }
  return least
}

test('1,000 swaps in a row, with requests in between and a stream over all of them, leave nothing behind', async (t) => {
  const script = answerEach((request) =>
    request.includes('/events') ? 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' : ok(),
  )
  const served = await serve(t, script)
  await using forgetful = await ForgetfulUpstream.start()
  const stream = await served.open()
  await stream.write(get('/events'))
  await stream.reader.takeThrough('\r\n\r\n')
  const connection = await served.open()
  const swaps = async (count: number) => {
    for (let i = 0; i < count; i++) {
      // Each another set of routes and upstream settings, so that nothing is equal to what went before.
      const version = served.next({ to: forgetful.url, upstream: { responseTimeoutMs: 1_000 + count - i } })
      await connection.write(get())
      assert.equal(versionsOf(await connection.response()), `v${version}`)
      assertOneEach(served.seen)
      // The test's own notes would be taken for a leak.
      served.seen.clear()
      ;(served.stopped as string[]).length = 0
      connection.pieces.length = 0
    }
  }
  await swaps(WARM_UP_SWAPS)
  const before = await heapBytes()
  const swept = served.plane.sweeper.size
  await swaps(1_000)
  const grown = (await heapBytes()) - before
  assert.equal(served.plane.sweeper.size, swept)
  assert.deepEqual(
    served.plane.census().generations.map(({ exchanges }) => exchanges),
    [1, 0],
  )
  t.diagnostic(`heap: ${Math.round(grown / 1_000)} bytes a swap`)
  assert.ok(grown / 1_000 < HEAP_BYTES_PER_SWAP_MAX, `the heap grew by ${grown / 1_000} bytes a swap`)
  served.upstream.connections[0]?.write('5\r\nalive\r\n')
  await stream.reader.takeThrough('alive')
})
