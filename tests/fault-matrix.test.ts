import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { type CellResult, renderMatrix, runCell } from './fault-matrix/cell.ts'
import {
  type Fault,
  FOLDER_FAULTS,
  NAMED_FOLDER_FAULTS,
  PROCESS_FAULTS,
  REQUEST_FAULTS,
  START_FAULTS,
} from './fault-matrix/faults.ts'
import type { Kind } from './fault-matrix/plugins.ts'
import { Stage, WORKERS } from './fault-matrix/stage.ts'

/**
 * Nothing fails open: whatever befalls a security plugin, no request comes to the upstream without having passed it;
 * whatever befalls an observe plugin, no request is lost. And mending the file is all that anybody has to do.
 */

const KINDS: readonly Kind[] = ['security', 'observe']
const FIRST_START = 'first start broken'
const results: CellResult[] = []

async function runCells(
  t: TestContext,
  stage: Stage,
  faults: readonly Fault[],
  kinds = KINDS,
): Promise<void> {
  for (const fault of faults) {
    for (const kind of kinds) {
      const title = `${fault.name} × ${kind} plugin`
      await t.test(title, async () => void results.push(await runCell(stage, fault, kind)))
    }
  }
}

/** Several times what it takes on a quiet machine; each wait has its own deadline. */
const timeout = 400_000

suite('the fault matrix', { concurrency: 3, timeout }, () => {
  for (const kind of KINDS) {
    test(`a ${kind} plugin that does not start`, { timeout }, async (t) => {
      await runCells(t, await Stage.start(t), START_FAULTS, [kind])
    })
  }

  test('a plugin that fails requests', { timeout }, async (t) => {
    await runCells(t, await Stage.start(t), REQUEST_FAULTS)
  })

  test('a plugin that is gone, and a process that dies', { timeout }, async (t) => {
    await runCells(t, await Stage.start(t), [...FOLDER_FAULTS, ...PROCESS_FAULTS])
  })

  test('a plugin that is gone though a route names it', { timeout }, async (t) => {
    await runCells(t, await Stage.start(t, { isNamed: true }), NAMED_FOLDER_FAULTS)
  })

  for (const kind of KINDS) {
    test(`the first start of a broken ${kind} plugin is answered 503 until it is mended`, {
      timeout,
    }, async (t) => {
      const stage = await Stage.start(t, {
        firstForm: (other) => ({ version: 1, ...(other === kind ? { handle: 'if (' } : {}) }),
      })
      const { traffic, upstream } = stage
      await traffic.turns(({ code }) => code === 'GATEWAY_NOT_READY', 'being refused', 1)
      await traffic.flows(20, 1)
      assert.deepEqual(
        traffic.answers.filter(({ code }) => code !== 'GATEWAY_NOT_READY'),
        [],
      )
      await stage.write(kind, stage.next(kind))
      const mendedAt = performance.now()
      await stage.isWell()
      const healedMs = performance.now() - mendedAt
      await traffic.flows(10, WORKERS)
      assert.deepEqual([upstream.unguarded, traffic.lost], [[], []])
      const answers = traffic.describe(0)
      const outcome = 'nothing is served'
      results.push({ fault: FIRST_START, kind, outcome, answers, lost: 0, unguarded: 0, healedMs })
    })
  }
})

test('the matrix', (t) => {
  const faults = [
    ...START_FAULTS,
    ...REQUEST_FAULTS,
    ...FOLDER_FAULTS,
    ...NAMED_FOLDER_FAULTS,
    ...PROCESS_FAULTS,
  ]
  t.diagnostic(`\n${renderMatrix([...faults.map(({ name }) => name), FIRST_START], results)}`)
})
