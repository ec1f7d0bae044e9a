import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { systemClock } from '../sweeper.ts'
import { BodyFlow } from './body-flow.ts'
import type { BodyPort } from './body-port.ts'
import { BodyWait } from './body-wait.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const nothing = () => {}
const PORT: BodyPort = {
  gatheredBytesMax: 1_000_000,
  tooLarge: 'REQUEST_BODY_TOO_LARGE',
  contentEncoding: () => null,
  removeContentEncoding: nothing,
  pauseSource: nothing,
  resumeSource: nothing,
  onRead: nothing,
  onUnwanted: nothing,
  deliver: nothing,
  deliverEnd: nothing,
  onBroken: nothing,
}

test('gather() of content that comes byte by byte takes memory in proportion to the content', async () => {
  const length = 200_000
  const content = Buffer.alloc(length)
  for (let at = 0; at < length; at++) content[at] = at % 251
  const flow = new BodyFlow(PORT)
  const gathered = flow.gather(false, new BodyWait(systemClock))
  const before = memoryBytes()
  for (let at = 0; at < length; at++) flow.push(content, at, at + 1)
  const taken = memoryBytes() - before
  assert.ok(taken < 20 * length, `${taken} bytes are held for ${length}`)
  flow.pushEnd(null)
  assert.ok((await gathered).equals(content))
})

function memoryBytes(): number {
  collectGarbage()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
