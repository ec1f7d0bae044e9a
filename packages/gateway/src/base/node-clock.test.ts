import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

/** Of a process that has not asked for the time before. */
const READINGS = `
const clock = import(${JSON.stringify(new URL('node-clock.ts', import.meta.url).href)})
const machineMs = () => Number(process.hrtime.bigint() / 1_000n) / 1_000
clock.then(({ machineClock }) => {
  const readings = [machineMs(), machineClock.nowMs(), machineMs()]
  console.log(JSON.stringify(readings))
})`

/** Node loads `performance` in more than a millisecond; that must not be in it. */
const ERROR_MS_MAX = 0.5

test('machineClock is the same for all processes of the machine from their first reading on', () => {
  const text = execFileSync(process.execPath, ['--eval', READINGS], { encoding: 'utf8' })
  const [before = 0, now = 0, after = 0] = JSON.parse(text) as number[]
  assert.ok(now >= before - ERROR_MS_MAX && now <= after + ERROR_MS_MAX, text)
})
