import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Answers, runWithAnswers } from '../../../../tests/support/gateway-command.ts'
import { GatewayError } from '../base/errors.ts'
import { approveCommand } from './approve.ts'
import { failedReport, heldReport, report, status } from './test-answers.ts'

/** Runs `cardea approve` without an id for somebody who gives this answer; null: nobody is there. */
async function approve(t: TestContext, answers: Answers, answer: boolean | null, json = false) {
  const questions: string[] = []
  const confirm = async (question: string): Promise<boolean> => {
    questions.push(question)
    return answer === true
  }
  const result = await runWithAnswers(
    t,
    { approve: report({ cause: { kind: 'approve' } }), ...answers },
    (context) => approveCommand(undefined, context, answer === null ? null : confirm),
    json,
  )
  return { ...result, questions }
}

test('approve shows what is held to whoever sits at a terminal, and approves nothing else after a yes', async (t) => {
  const held = status({ pending: heldReport() })
  const { code, asked, out, err, questions } = await approve(t, { status: held }, true)
  assert.deepEqual([code, questions], [0, ['Let it go live as it is?']])
  assert.deepEqual(asked, [{ command: 'status' }, { command: 'approve', heldId: '3f9a1c2b' }])
  assert.match(err, /^The change is held: .*\n.*\n {2}route api would lose security plugin auth: /)
  assert.match(out, /^Generation 15 is live /)
})

test('approve approves nothing after a no', async (t) => {
  const { code, asked, out, err } = await approve(t, { status: status({ pending: heldReport() }) }, false)
  assert.deepEqual([code, asked, out], [1, [{ command: 'status' }], ''])
  assert.match(err, /\nNothing is approved\.\n$/)
})

test('approve asks about what a command would do before what stands on disk', async (t) => {
  const asked = heldReport({ heldId: '0a0a0a0a', cause: { kind: 'disable', plugin: 'auth' } })
  const both = status({ pending: heldReport(), asked })
  assert.deepEqual((await approve(t, { status: both }, true)).asked.at(-1), {
    command: 'approve',
    heldId: '0a0a0a0a',
  })
})

test('approve asks nobody in a script, with --json, with an id, and when nothing is held', async (t) => {
  const held = { status: status({ pending: heldReport() }) }
  const nothing = new GatewayError('NOTHING_HELD', 'Nothing is held.')
  const bare = [{ command: 'approve' }]
  assert.deepEqual((await approve(t, held, null)).asked, bare)
  assert.deepEqual((await approve(t, held, false, true)).asked, bare)
  for (const answer of [status(), status({ pending: failedReport() }), new Error('not now')]) {
    const { code, asked, err, questions } = await approve(t, { status: answer, approve: nothing }, false)
    assert.deepEqual([code, questions], [1, []])
    assert.deepEqual(asked, [{ command: 'status' }, ...bare])
    assert.equal(err, 'NOTHING_HELD: Nothing is held.\n')
  }
  const given = await runWithAnswers(t, { approve: report() }, (context) =>
    approveCommand('3f9a1c2b', context, () => assert.fail('asked')),
  )
  assert.deepEqual([given.code, given.asked], [0, [{ command: 'approve', heldId: '3f9a1c2b' }]])
})
