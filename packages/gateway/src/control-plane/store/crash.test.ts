import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withTempDir } from '../../../../../tests/support/temp-dir.ts'
import { GenerationStore } from './generation-store.ts'
import {
  aftermaths,
  durableAfter,
  realise,
  refuseNextFolderSync,
  seenAfter,
  stepsOf,
} from './test-crash-disk.ts'
import { type Decidable, generationOf, pluginFor } from './test-support.ts'
import type { GenerationOutline } from './types.ts'

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
    folder,
    untouched,
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
  await using env = await withSteps((store) => store.prune(limits, () => new Set([1])), before)
  await env.afterEachFailure(async (store) => {
    assert.equal(store.latest()?.number, 4)
    await assertWhole(store, 4)
    await assertWhole(store, 1)
    for (const { number, isStored } of await store.history(10)) if (isStored) await assertWhole(store, number)
    await store.prune(limits, () => new Set([1]))
    assert.deepEqual(store.numbers(), [1, 3, 4])
  })
})

test('what a killed process left is durable before its successor builds on it', async () => {
  const one = generationOf(1, [pluginFor('auth')])
  const two = generationOf(2, [pluginFor('auth', '2.0.0')], { text: 'listen: []\n' })
  await using env = await withSteps((store) => decide(store, two), [one])
  const { folder, untouched } = env
  const trial = `${folder}-after`
  let tried = 0
  for (let killedAfter = 0; killedAfter <= env.steps.length; killedAfter++) {
    await realise(untouched, folder, seenAfter(env.steps, killedAfter), folder)
    const before = env.steps.slice(0, killedAfter)
    const successors: GenerationStore[] = []
    const opening = await stepsOf(async () => successors.push(await GenerationStore.open(folder)))
    const opened = successors[0] ?? assert.fail('not opened')
    const found = opened.latest()
    // The same content: it finds blobs that the other one wrote.
    const next = generationOf(opened.nextNumber(), [pluginFor('auth', '2.0.0')], { text: 'listen: []\n' })
    const deciding = await stepsOf(() => decide(opened, next))
    for (const [steps, expected] of [
      [[...before, ...opening], found],
      [[...before, ...opening, ...deciding], next.record],
    ] as const) {
      for (const aftermath of aftermaths(steps, steps.length)) {
        await realise(untouched, folder, aftermath, trial)
        const store = await GenerationStore.open(trial)
        const what = `killed after ${killedAfter} steps`
        assert.deepEqual(store.latest(), expected, what)
        assert.deepEqual(store.damages(), [], what)
        for (const number of store.numbers()) await assertWhole(store, number)
        tried++
      }
    }
  }
  assert.ok(tried > 50, `${tried} states`)
})

test('open() makes durable every name that it goes by, that of its folder too', async () => {
  await using dir = await withTempDir()
  const folder = join(dir.path, '.cardea')
  await GenerationStore.open(folder)
  const steps = await stepsOf(() => GenerationStore.open(folder))
  const synced = steps.flatMap((step) => (step.kind === 'sync-folder' ? step.path : []))
  const names = ['', '.cardea', '.cardea/generations', '.cardea/blobs']
  assert.deepEqual(new Set(synced), new Set(names.map((name) => join(dir.path, name))))
})

test('an outline that a killed process left is durable before its successor goes by it', async () => {
  const outline = { number: 1, traffic: [], chains: [], instances: [] } as unknown as GenerationOutline
  await using env = await withSteps(
    (store) => store.keepOutline(outline),
    [generationOf(1, [pluginFor('auth')])],
  )
  const { folder, untouched } = env
  const outlineIn = (store: GenerationStore) => {
    const last = store.lastDecided()
    return last.kind === 'record' ? last.outline : assert.fail(last.kind)
  }
  for (let killedAfter = 0; killedAfter <= env.steps.length; killedAfter++) {
    await realise(untouched, folder, seenAfter(env.steps, killedAfter), folder)
    const successors: GenerationStore[] = []
    const opening = await stepsOf(async () => successors.push(await GenerationStore.open(folder)))
    const found = outlineIn(successors[0] ?? assert.fail('not opened'))
    const steps = [...env.steps.slice(0, killedAfter), ...opening]
    for (const aftermath of aftermaths(steps, steps.length)) {
      await realise(untouched, folder, aftermath, `${folder}-after`)
      assert.deepEqual(outlineIn(await GenerationStore.open(`${folder}-after`)), found)
    }
  }
})

test('a decision that the disk refused does not come back when the power fails', async () => {
  await using dir = await withTempDir()
  const folder = join(dir.path, 'live')
  const untouched = join(dir.path, 'before')
  const store = await GenerationStore.open(folder)
  await decide(store, generationOf(1, [pluginFor('auth')]))
  await cp(folder, untouched, { recursive: true })
  const refused = new Error('no room for a name')
  const steps = await stepsOf(async () => {
    // Its blobs are there: the first folder that is synced is that of the record.
    refuseNextFolderSync(refused)
    const deciding = decide(store, generationOf(2, [pluginFor('auth')]))
    await assert.rejects(deciding, { code: 'STORE_WRITE_FAILED', cause: refused })
  })
  for (const aftermath of aftermaths(steps, steps.length)) {
    await realise(untouched, folder, aftermath, join(dir.path, 'after'))
    assert.deepEqual((await GenerationStore.open(join(dir.path, 'after'))).numbers(), [1])
  }
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
      if (number % 5 === 0) await store.prune({ generationsMax: 3, pluginVersionsMax: 2 }, () => new Set())
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
