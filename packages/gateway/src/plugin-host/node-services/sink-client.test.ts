import assert from 'node:assert/strict'
import { test } from 'node:test'
import { machineClock } from '../../base/node-clock.ts'
import { instancePlan } from '../../protocol/test-plans.ts'
import { recordingLog } from '../test-support.ts'
import { SinkClient } from './sink-client.ts'

test('SinkClient ends by the time that it is given, whatever is not written by then', async () => {
  const { log, lines } = recordingLog()
  const hanging = { append: () => new Promise<number>(() => {}), appendSync: () => 0, close: async () => {} }
  const files = { open: async () => hanging, openSync: () => hanging }
  const timers: { delayMs: number; callback: () => void }[] = []
  const clock = {
    ...machineClock,
    after(delayMs: number, callback: () => void) {
      timers.push({ delayMs, callback })
      return () => {}
    },
  }
  const client = new SinkClient({ files, clock, log, send: () => {} })
  client.share(instancePlan()).open('a.log').write('the last line')
  const ended = client.end(120)
  assert.equal(lines.length, 0)
  const deadline = timers.find(({ delayMs }) => delayMs === 120) ?? assert.fail('no such timer')
  deadline.callback()
  await ended
  assert.match(String(lines[0]?.message), /^The last lines for "a\.log" are dropped/)
})
