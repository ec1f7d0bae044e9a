import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runWithAnswers } from '../../../../tests/support/gateway-command.ts'
import { pluginVersionsCommand, versionsText } from './plugin-versions.ts'
import { NOW } from './test-answers.ts'

test('versionsText() shows the generations that a version ran in; of many the first and the last ones', () => {
  const version = (number: string, ...ranges: readonly (readonly [first: number, last: number])[]) => ({
    version: number,
    contentHash: '3f2a91c0'.repeat(8),
    generations: ranges.map(([first, last]) => ({ first, last })),
    at: NOW - 5_000,
    isLive: false,
    hasFailed: false,
    isWayBack: false,
  })
  const versions = [
    { ...version('1.1.0', [2, 7], [10, 10]), isLive: true },
    version('1.0.0', [1, 1], [8, 9]),
    version('0.9.0', [1, 1], [3, 3], [5, 5], [12, 14]),
    version('0.8.0', [1, 2], [4, 4], [6, 6], [8, 8], [11, 11], [15, 20]),
  ]
  assert.equal(
    versionsText(versions, NOW),
    `  version  content         generations           since
  1.1.0    3f2a91c0  live  2–7, 10               5 s ago
  1.0.0    3f2a91c0        1, 8–9                5 s ago
  0.9.0    3f2a91c0        1, 3, 5, 12–14        5 s ago
  0.8.0    3f2a91c0        1–2, …, 8, 11, 15–20  5 s ago
`,
  )
})

test('versionsText() says which versions failed, so that a rollback passes them over', () => {
  const version = (number: string, isLive: boolean, hasFailed: boolean) => ({
    version: number,
    contentHash: '3f2a91c0'.repeat(8),
    generations: [{ first: 1, last: 1 }],
    at: NOW - 5_000,
    isLive,
    hasFailed,
    isWayBack: false,
  })
  const versions = [
    version('3.0.0', true, true),
    version('2.0.0', false, true),
    version('1.0.0', false, false),
  ]
  assert.equal(
    versionsText(versions, NOW),
    `  version  content                 generations  since
  3.0.0    3f2a91c0  live, failed  1            5 s ago
  2.0.0    3f2a91c0  failed        1            5 s ago
  1.0.0    3f2a91c0                1            5 s ago
`,
  )
})

test('plugin versions says which version a rollback that names none goes to', async (t) => {
  const live = {
    version: '2.0.0',
    contentHash: '0a13a57a'.repeat(8),
    generations: [{ first: 2, last: 2 }],
    at: NOW - 5_000,
    isLive: true,
    hasFailed: false,
    isWayBack: false,
  }
  const other = { ...live, isLive: false }
  const versions = [live, other, { ...other, version: '1.0.0', isWayBack: true }]
  const { out } = await runWithAnswers(t, { 'plugin-versions': versions }, (context) =>
    pluginVersionsCommand('auth', context),
  )
  assert.equal(
    out,
    `${versionsText(versions, NOW)}\n"cardea plugin rollback auth" brings 1.0.0 (0a13a57a) back.\n`,
  )
})
