import assert from 'node:assert/strict'
import { after, type TestContext, test } from 'node:test'
import type { HeldLoss } from '../protocol/control.ts'
import type { GenerationPlan } from '../protocol/generation.ts'
import { stopBuildService } from './build.ts'
import { applyChange, type ChangeGround, type ChangeOutcome } from './change.ts'
import { ChangeHeld } from './change-result.ts'
import { gather } from './gather.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { NO_OVERLAY } from './recollect.ts'
import { folderOf, writeFiles } from './test-support.ts'
import { WILLING_WORKERS, workshopIn } from './test-workshop.ts'

after(stopBuildService)

const HERE = { respond: { status: 200, body: 'here' } }
const API = { name: 'api', path: '/api/*', ...HERE }
const AUTH = {
  'plugins/auth/plugin.json': { name: 'auth', version: '1.0.0', category: 'security' },
  'plugins/auth/plugin.ts': "export const PluginMain = () => ({ name: 'auth', handle: () => true })\n",
}
const configOf = (...open: readonly string[]) => ({
  'cardea.yaml': {
    listen: [{ host: '127.0.0.1', port: 0 }],
    routes: [
      API,
      ...open.map((name) => ({
        name,
        path: `/api/${name}`,
        ...HERE,
        plugins: { auth: { enabled: false } },
      })),
    ],
  },
})

/** A generation with `auth` on its only route serves; `attempt` makes the change to what stands in the folder by then. */
async function guarded(t: TestContext, parts: Partial<ChangeGround> = {}) {
  const root = await folderOf(t, { ...configOf(), ...AUTH })
  const workshop = await workshopIn(root)
  const candidate = await gather(workshop, {
    number: 1,
    overlay: NO_OVERLAY,
    lifecycle: new PluginLifecycle(),
  })
  const staged: number[] = []
  const ground = {
    ...workshop,
    reference: { candidate, settings: candidate.plan.settings },
    former: null,
    isServing: true,
    workerCount: 1,
    workers: {
      generationsLive: 1,
      // As far as this is about.
      stage: async ({ number }: { readonly number: number }) => {
        staged.push(number)
        throw new Error('Not staged here')
      },
      discard: () => undefined,
    },
    trials: { try: async () => undefined },
    master: { stageListeners: async () => undefined, discardListeners: () => undefined },
    newLifecycle: () => new PluginLifecycle(),
    onPrepared: () => undefined,
    findMoves: (_: unknown, to: readonly { readonly name: string }[]) =>
      to.map(({ name }) => ({ from: 'api', to: name, example: '' })),
    ...parts,
  } as unknown as ChangeGround
  const apply = (approved: readonly HeldLoss[] = []): Promise<ChangeOutcome> => {
    const request = {
      cause: { kind: 'approve' },
      who: 'ada',
      firstSignAt: performance.now(),
      approved,
    } as const
    return applyChange(request, ground, new AbortController().signal)
  }
  return {
    save: (...open: readonly string[]) => writeFiles(root, configOf(...open)),
    /** Of `auth`. */
    saveCode: (code: string) => writeFiles(root, { 'plugins/auth/plugin.ts': code }),
    apply,
    /** What it is held for; null when it goes on. */
    async attempt(approved: readonly HeldLoss[] = []): Promise<readonly HeldLoss[] | null> {
      staged.length = 0
      const thrown = await apply(approved).catch((error) => error)
      if (thrown instanceof ChangeHeld) {
        assert.deepEqual(staged, [])
        return thrown.losses
      }
      assert.equal(staged.length, 1, String(thrown))
      return null
    },
  }
}

const targets = (losses: readonly HeldLoss[] | null): readonly unknown[] | undefined =>
  losses?.map((loss) => (loss.kind === 'loss' ? loss.to : loss.kind))

test('applyChange() holds every loss, and goes on once exactly those were approved', async (t) => {
  const { save, attempt } = await guarded(t)
  await save('health', 'admin')
  const shown = (await attempt()) ?? assert.fail('not held')
  assert.deepEqual(targets(shown), ['health', 'admin'])
  assert.equal(await attempt(shown), null)
  assert.deepEqual(await attempt(shown.slice(0, 1)), shown)
})

test('applyChange() holds what was approved when the files were saved again since', async (t) => {
  const { save, attempt } = await guarded(t)
  await save('health')
  const shown = (await attempt()) ?? assert.fail('not held')
  await save('health', 'admin')
  assert.deepEqual(targets(await attempt(shown)), ['health', 'admin'])
  await save('admin')
  assert.deepEqual(targets(await attempt(shown)), ['admin'])
})

test('applyChange() holds what was approved unseen when what would serve is another one since', async (t) => {
  const former = { number: 1, overlay: NO_OVERLAY, outline: null, madeOf: null }
  const { save, attempt } = await guarded(t, { reference: null, former, isServing: false })
  await save('health')
  const shown = (await attempt()) ?? assert.fail('not held')
  assert.deepEqual(targets(shown), ['unknown'])
  assert.equal(await attempt(shown), null)
  await save('health', 'admin')
  assert.deepEqual(targets(await attempt(shown)), ['unknown'])
  await save('health')
  assert.equal(await attempt(shown), null)
})

test('applyChange() lists as many losses as anybody reads, and compares all with what was approved', async (t) => {
  const { save, attempt } = await guarded(t)
  const open = Array.from({ length: 120 }, (_, index) => `r${index}`)
  await save(...open)
  const shown = (await attempt()) ?? assert.fail('not held')
  assert.deepEqual(targets(shown), [...open.slice(0, 50), 'more'])
  assert.equal(await attempt(shown), null)
  await save(...open.with(119, 'admin'))
  assert.deepEqual(targets(await attempt(shown)), [...open.slice(0, 50), 'more'])
})

test('applyChange() has made the change although a plugin was in a state that it cannot be live from', async (t) => {
  const mistakes: string[] = []
  const lifecycle = new PluginLifecycle(undefined, ({ code }) => mistakes.push(code))
  const { saveCode, apply } = await guarded(t, {
    newLifecycle: () => lifecycle,
    master: {
      stageListeners: async () => undefined,
      // As if somebody had told of it before.
      commit: async (plan: GenerationPlan) => lifecycle.committed(plan, []),
    },
    workers: WILLING_WORKERS,
  } as unknown as Partial<ChangeGround>)
  await saveCode("export const PluginMain = () => ({ name: 'auth', handle: () => false })\n")
  const outcome = await apply()
  assert.ok(outcome.kind === 'committed')
  assert.deepEqual(mistakes, ['INTERNAL_ERROR'])
})

test('applyChange() takes the time of what it compares for no part of the trial', async (t) => {
  let tookMs = 0
  const { saveCode, apply } = await guarded(t, {
    findMoves: () => {
      const startedAt = performance.now()
      while (performance.now() < startedAt + 20);
      tookMs = performance.now() - startedAt
      return []
    },
    master: { stageListeners: async () => undefined, commit: async () => undefined },
    workers: WILLING_WORKERS,
  } as unknown as Partial<ChangeGround>)
  await saveCode("export const PluginMain = () => ({ name: 'auth', handle: () => false })\n")
  const outcome = await apply()
  assert.ok(outcome.kind === 'committed')
  const { stages } = outcome.report
  assert.deepEqual(
    stages.map(({ stage }) => stage),
    ['notice', 'wait', 'prepare', 'compare', 'trial', 'stage', 'decide', 'commit', 'total'],
  )
  assert.ok((stages.find(({ stage }) => stage === 'compare')?.ms ?? 0) >= Math.floor(tookMs))
})
