import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { withTempDir } from '../../../../tests/support/temp-dir.ts'
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

/** A process whose event loop stands still for so long, and that ends in the same turn. */
const ENDS_WHILE_LOOKED_AT = `
import { Watchdog } from ${JSON.stringify(new URL('watchdog.ts', import.meta.url).href)}
const log = { debug() {}, info() {}, warn() {}, error() {} }
const watchdog = new Watchdog({ log, onSeized() {}, onEnded() {}, onPassed() {} })
setTimeout(() => {}, 30_000)
await watchdog.start(200)
const until = performance.now() + Number(process.env.STANDS_MS)
while (performance.now() < until);
process.exit(7)`

test('a process that ends while its Watchdog looks at it says nothing on stderr, and does not wait for it', async () => {
  await using dir = await withTempDir()
  await dir.write({ 'ends.mjs': ENDS_WHILE_LOOKED_AT })
  // One of them is in the midst of it, whatever the machine has to do besides.
  for (const standsMs of [250, 350, 450]) {
    const { status, stderr } = spawnSync(process.execPath, [join(dir.path, 'ends.mjs')], {
      env: { ...process.env, STANDS_MS: `${standsMs}` },
      encoding: 'utf8',
      timeout: 30_000,
    })
    assert.deepEqual([status, stderr], [7, ''])
  }
})
