import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { type SeizeFunction, type Stall, WATCHDOG_SYMBOL } from '../protocol/watchdog.ts'
import { Watchdog } from './watchdog.ts'

const STALL: Stall = { stalledMs: 1_000, frames: [], codeHashes: ['a'] }

test('a Watchdog whose thread ends between seizing a plugin and its word of having ended it gives that word itself', async () => {
  const events: string[] = []
  const watchdog = new Watchdog({
    log: { debug() {}, info() {}, warn() {}, error() {} },
    onSeized: () => events.push('seized'),
    onEnded: () => events.push('ended'),
    onPassed: () => {},
  })
  // As the thread calls it.
  const seize: SeizeFunction = Reflect.get(globalThis, Symbol.for(WATCHDOG_SYMBOL))
  await watchdog.start(60_000)
  seize(STALL)
  watchdog.apply(0)
  await waitFor(() => events.length === 2, 'the word that it was ended')
  assert.deepEqual(events, ['seized', 'ended'])
})
