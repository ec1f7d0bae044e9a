import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import { GenerationStore } from './generation-store.ts'
import { aftermaths, durableAfter, realise, stepsOf } from './test-crash-disk.ts'
import { type Decidable, generationOf, pluginFor } from './test-support.ts'

const decide = (store: GenerationStore, { record, blobs }: Decidable) => store.decide(record, blobs)

/** Everything that the record refers to can be had, and is what it says. */
async function assertWhole(store: GenerationStore, number: number): Promise<void> {
  const record = await store.find(number)
  for (const plugin of record.plugins) await store.loadPlugin(plugin)
  if (record.config.kind === 'file') await store.configText(record.config.textHash)
}

/** A store with generation 1, the steps of something done to it then, and places to try their aftermaths in. */
async function withSteps(work: (store: GenerationStore) => Promise<void>, before: readonly Decidable[]) {
  const dir = await withTempDir()
  const folder = join(dir.path, 'live')
  const untouched = join(dir.path, 'before')
  const store = await GenerationStore.open(folder)
  for (const one of before) await decide(store, one)
  await cp(folder, untouched, { recursive: true })
  const steps = await stepsOf(() => work(store))
  return {
    steps,
    /** Calls `check` with the store as it is opened after each way in which the power can fail. */
    async afterEachFailure(check: (store: GenerationStore, count: number) => Promise<void>): Promise<number> {
      const trial = join(dir.path, 'after')
      let tried = 0
      for (let count = 0; count <= steps.length; count++) {
        for (const aftermath of aftermaths(steps, count)) {
          await realise(untouched, folder, aftermath, trial)
          await check(await GenerationStore.open(trial), count)
          tried++
        }
      }
      return tried
    },
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  }
}

test('decide() leaves the old or the new generation, whole, whenever the power fails', async () => {
  const one = generationOf(1, [pluginFor('auth'), pluginFor('cors')])
  const two = generationOf(2, [pluginFor('auth', '2.0.0'), pluginFor('cors')], { text: 'listen: []\n' })
  await using env = await withSteps((store) => decide(store, two), [one])
  const decided = durableAfter(env.steps, '2.record')
  assert.equal(decided, env.steps.length - 1, 'what comes last is the sync of the decision')
  const tried = await env.afterEachFailure(async (store, count) => {
    const latest = store.latest() ?? assert.fail('no generation at all')
    assert.deepEqual(latest, latest.number === 2 ? two.record : one.record)
    if (count > decided) assert.equal(latest.number, 2)
    assert.deepEqual(store.damages(), [])
    await assertWhole(store, latest.number)
    await assertWhole(store, 1)
    // And it goes on from there.
    await decide(store, generationOf(store.nextNumber(), [pluginFor('auth', '2.0.0')]))
    await assertWhole(store, store.latest()?.number ?? 0)
  })
  assert.ok(tried > 50, `${tried} states`)
})

test('the first decide() leaves none or the first, whole, whenever the power fails', async () => {
  const one = generationOf(1, [pluginFor('auth')])
  await using env = await withSteps((store) => decide(store, one), [])
  await env.afterEachFailure(async (store, count) => {
    const latest = store.latest()
    if (count === env.steps.length) assert.deepEqual(latest, one.record)
    if (latest !== null) await assertWhole(store, 1)
  })
})

test('prune() takes nothing that is in use, and promises nothing that is gone, whenever the power fails', async () => {
  const before = [1, 2, 3, 4].map((number) => generationOf(number, [pluginFor('auth', `${number}.0.0`)]))
  const limits = { generationsMax: 2, pluginVersionsMax: 1 }
  await using env = await withSteps((store) => store.prune(limits, new Set([1])), before)
  await env.afterEachFailure(async (store) => {
    assert.equal(store.latest()?.number, 4)
    await assertWhole(store, 4)
    await assertWhole(store, 1)
    for (const { number, isStored } of await store.history(10)) if (isStored) await assertWhole(store, number)
    await store.prune(limits, new Set([1]))
    assert.deepEqual(store.numbers(), [1, 3, 4])
  })
})

test('a process that is killed while it decides leaves all that it had decided', async () => {
  await using dir = await withTempDir()
  const script = `
    import { GenerationStore } from ${JSON.stringify(join(import.meta.dirname, 'generation-store.ts'))}
    import { generationOf, pluginFor } from ${JSON.stringify(join(import.meta.dirname, 'test-support.ts'))}
    const store = await GenerationStore.open(process.argv[1])
    for (;;) {
      const number = store.nextNumber()
      const { record, blobs } = generationOf(number, [pluginFor('auth', number + '.0.0')])
      await store.decide(record, blobs)
      process.stdout.write(number + '\\n')
      if (number % 5 === 0) await store.prune({ generationsMax: 3, pluginVersionsMax: 2 }, new Set())
    }`
  let decided = 0
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, dir.path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    child.stdout.setEncoding('utf8')
    // At another step each time: what is read, and thus when, is up to the two processes.
    child.stdout.on('data', (text: string) => {
      said += text
      if (said.split('\n').length > 3 + round) child.kill('SIGKILL')
    })
    await once(child, 'close')
    decided = Number(said.split('\n').at(-2))
    const store = await GenerationStore.open(dir.path)
    const latest = store.latest()?.number ?? 0
    assert.ok(latest === decided || latest === decided + 1, `${latest} after ${decided}`)
    await assertWhole(store, latest)
  }
  assert.ok(decided >= 4)
})
