import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { stopBuildService } from '../../packages/gateway/src/control-plane/build.ts'
import { BUILT_IN_CASES } from './built-in-cases.ts'
import { judgeBuiltIns, open, reportBuiltIns } from './built-ins.ts'

after(stopBuildService)

for (const builtIn of BUILT_IN_CASES) {
  test(`the case ${builtIn.name} reaches the upstream, without and with its plugin`, async () => {
    await using stage = await open(builtIn)
    for (const operation of [stage.empty, stage.plugin]) {
      const before = operation.forwarded
      assert.ok(operation.run() > 0)
      assert.equal(operation.forwarded - before, 1)
    }
    stage.assertQuiet()
  })
}

test('reportBuiltIns() and judgeBuiltIns() hold what was added against the bar', () => {
  const spread = (median: number) => ({ median, min: median - 0.1, max: median + 0.2 })
  const rows = [
    { name: 'slow', empty: spread(3), added: spread(1.2), addedMicrosecondsMax: 1 },
    { name: 'fast', empty: spread(3), added: spread(0.4), addedMicrosecondsMax: 1 },
  ]
  assert.match(reportBuiltIns(rows), /\| slow +\| 1\.20 \(1\.10–1\.40\) \| +1 \| 3\.00 /)
  assert.deepEqual(
    judgeBuiltIns(rows).map(({ outcome, found }) => [outcome, found]),
    [
      ['missed', '1.20 µs'],
      ['met', '0.40 µs'],
    ],
  )
})
