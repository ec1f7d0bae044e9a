import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChangeCause, ChangeWait } from '../protocol/control.ts'
import type { ChangeSettings } from '../protocol/generation.ts'
import { awaitRoom, type RoomOptions } from './room.ts'

const LIVE: ChangeSettings = {
  generationsLiveMax: 2,
  streamDeadlineMs: 0,
  pluginVersionsMax: 20,
  generationsMax: 1000,
}

/** What a change waits for that comes when two generations are alive; null: for nothing. Given up as soon as it waits. */
async function waitsFor(
  cause: ChangeCause,
  {
    live = LIVE,
    next = LIVE,
  }: { readonly live?: ChangeSettings; readonly next?: ChangeSettings | null } = {},
): Promise<number | null> {
  const leaving = new AbortController()
  let generation: number | null = null
  const options = {
    cause,
    who: 'gateway',
    settings: live,
    // As far as this is about.
    workers: {
      generationsLive: 2,
      oldestGenerations: async () => [{ number: 6, oldest: [] }],
      nextRetirement: () => new Promise<void>(() => undefined),
    },
    log: { warn: () => undefined },
    foresee: async () => next,
    onWait: (wait: ChangeWait | null) => {
      if (wait === null) return
      generation = wait.generation
      leaving.abort(new Error('Left'))
    },
  } as unknown as RoomOptions
  await awaitRoom(options, leaving.signal).catch(() => undefined)
  return generation
}

test('awaitRoom() lets nothing wait that is done against a plugin that fails', async () => {
  assert.equal(await waitsFor({ kind: 'quarantine', plugin: 'hello' }), null)
  assert.equal(await waitsFor({ kind: 'restart', plugin: 'hello' }), null)
  assert.equal(await waitsFor({ kind: 'probation', plugin: 'hello', version: '1.0.0' }), null)
  assert.equal(await waitsFor({ kind: 'disable', plugin: 'hello' }), 6)
})

test('awaitRoom() counts the bound that comes where it is the higher one, and a deadline of streams that is new', async () => {
  const files: ChangeCause = { kind: 'files', files: [] }
  assert.equal(await waitsFor(files), 6)
  assert.equal(await waitsFor(files, { next: { ...LIVE, generationsLiveMax: 3 } }), null)
  assert.equal(await waitsFor(files, { next: { ...LIVE, streamDeadlineMs: 1 } }), null)
  const limited = { ...LIVE, streamDeadlineMs: 1 }
  assert.equal(await waitsFor(files, { live: limited, next: { ...LIVE, streamDeadlineMs: 2 } }), 6)
})

test('awaitRoom() lets a change that comes to nothing say so', async () => {
  assert.equal(await waitsFor({ kind: 'files', files: [] }, { next: null }), null)
})
