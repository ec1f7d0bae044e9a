import assert from 'node:assert/strict'
import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import type { GenerationPlan } from '../protocol/generation.ts'
import { stopBuildService } from './build.ts'
import type { Candidate, Overlay } from './gather.ts'
import { PluginLifecycle } from './lifecycle.ts'
import { quarantineOf } from './quarantine.ts'
import { type Recollection, recollect } from './recollect.ts'
import type { SecurityOutline } from './security-loss.ts'
import { folderOf, writeFiles } from './test-support.ts'
import { commitIn, workshopIn } from './test-workshop.ts'

after(stopBuildService)

const OVERLAY: Overlay = {
  controls: { disabled: ['chat'], incarnations: {}, quarantined: [] },
  pins: [],
}

const GUARD = {
  'plugins/guard/plugin.json': { name: 'guard', version: '1.0.0', category: 'security' },
  'plugins/guard/plugin.ts': "export const PluginMain = () => ({ name: 'guard', handle: () => true })\n",
}

const configOf = (body: string) => ({
  listen: [{ host: '127.0.0.1', port: 0 }],
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body } }],
})

/** A folder with generation 1, and generation 2, which has a security plugin beside it. */
async function withGenerations(t: TestContext) {
  const root = await folderOf(t, { 'cardea.yaml': configOf('one') })
  await commitIn(root, OVERLAY)
  await writeFiles(root, { 'cardea.yaml': configOf('two'), ...GUARD })
  await commitIn(root, OVERLAY)
  const { store } = await workshopIn(root)
  const record = store.latest() ?? assert.fail('no generation')
  const [plugin] = record.plugins
  assert.ok(record.config.kind === 'file' && plugin !== undefined)
  const generations = join(root, '.cardea/generations')
  const blob = (hash: string): string => join(root, '.cardea/blobs', hash)
  return {
    root,
    files: {
      record: join(generations, '2.record'),
      outline: join(root, '.cardea/outline.record'),
      config: blob(record.config.textHash),
      manifest: blob(plugin.manifestHash),
      bundle: blob(plugin.bundleHash),
      generations,
    },
    /** What is recollected of a copy of `.cardea` that these were done to. */
    async recollectAfter(
      harm: Harm,
      ...harmed: readonly string[]
    ): Promise<Recollection & { log: string[] }> {
      const whole = join(root, 'whole')
      await cp(join(root, '.cardea'), whole, { recursive: true })
      for (const file of harmed) await harm(file)
      const log: string[] = []
      const workshop = await workshopIn(root, log)
      const found = await recollect({ workshop, log: workshop.log, running: null, newLifecycle })
      await rm(join(root, '.cardea'), { recursive: true, force: true })
      await cp(whole, join(root, '.cardea'), { recursive: true })
      return { ...found, log }
    },
  }
}

const newLifecycle = (): PluginLifecycle => new PluginLifecycle()

type Harm = (file: string) => Promise<void>

const HARMS: Readonly<Record<string, Harm>> = {
  missing: (file) => rm(file, { recursive: true }),
  empty: (file) => truncate(file, 0),
  truncated: async (file) => truncate(file, (await readFile(file)).length >> 1),
  'other content': (file) => writeFile(file, '{"format":1,"sha256":"0"}\n{}\n'),
  'no content of ours': (file) => writeFile(file, Buffer.from([0, 255, 10, 13, 0])),
}

const guardsOf = (outline: SecurityOutline | null | undefined): readonly string[] => {
  const names = new Map(outline?.instances.map(({ id, name }) => [id, name]))
  return outline?.routes.flatMap(({ chain }) => chain.flatMap((id) => names.get(id) ?? [])) ?? []
}

test('recollect() has the generation that was committed last for a reference', async (t) => {
  const env = await withGenerations(t)
  const { reference, former, log } = await env.recollectAfter(async () => {})
  assert.equal(reference?.candidate.plan.number, 2)
  assert.deepEqual([former, log], [null, []])
})

for (const [name, harm] of Object.entries(HARMS)) {
  test(`recollect() knows the security plugins when any one file of the store is damaged: ${name}`, async (t) => {
    const env = await withGenerations(t)
    const { config, manifest, bundle, record, outline } = env.files
    for (const file of [config, manifest, bundle]) {
      const { reference, former, log } = await env.recollectAfter(harm, file)
      assert.equal(reference, null, file)
      assert.equal(former?.number, 2)
      assert.deepEqual(guardsOf(former.outline), ['guard'])
      assert.deepEqual(former.overlay, OVERLAY)
      assert.match(log.join(), /^Cannot bring back generation 2, which served last: /)
    }
    const withoutRecord = await env.recollectAfter(harm, record)
    assert.equal(withoutRecord.former?.number, 2)
    assert.deepEqual(guardsOf(withoutRecord.former.outline), ['guard'])
    assert.deepEqual(withoutRecord.former.overlay, OVERLAY)
    assert.equal(withoutRecord.reference?.candidate.plan.number, 1)
    assert.match(withoutRecord.log.join(), /^The record of generation 2, .* is lost/)

    const withoutOutline = await env.recollectAfter(harm, outline)
    assert.equal(withoutOutline.reference?.candidate.plan.number, 2)
    assert.equal(withoutOutline.former, null)
  })

  test(`recollect() takes no older generation for the last one when nothing of that can be read: ${name}`, async (t) => {
    const env = await withGenerations(t)
    const { bundle, record, outline } = env.files
    for (const files of [
      [bundle, outline],
      // When both are gone nothing is left that could tell, but for the events; see below.
      ...(name === 'missing' ? [] : [[record, outline]]),
    ]) {
      const { reference, former } = await env.recollectAfter(harm, ...files)
      assert.deepEqual([reference, former?.number, former?.outline], [null, 2, null])
    }
  })
}

test('recollect() knows that there was a generation by its outline, its damaged outline, and events', async (t) => {
  const env = await withGenerations(t)
  const { generations, outline } = env.files
  const { missing = assert.fail(), truncated = assert.fail() } = HARMS
  const byOutline = await env.recollectAfter(missing, generations)
  assert.deepEqual(guardsOf(byOutline.former?.outline), ['guard'])
  const byDamage = await env.recollectAfter(
    (file) => (file === generations ? missing : truncated)(file),
    generations,
    outline,
  )
  assert.deepEqual([byDamage.reference, byDamage.former?.outline], [null, null])

  await missing(generations)
  await missing(outline)
  const workshop = await workshopIn(env.root)
  workshop.store.countOnFrom(2)
  const byEvents = await recollect({ workshop, log: workshop.log, running: null, newLifecycle })
  assert.deepEqual([byEvents.reference, byEvents.former?.outline], [null, null])
  assert.equal(workshop.store.nextNumber(), 3)
})

test('recollect() takes no older outline for that of the last generation', async (t) => {
  const env = await withGenerations(t)
  const { record, outline } = env.files
  await cp(outline, join(env.root, 'outline of 2'))
  await commitIn(env.root, OVERLAY)
  await cp(join(env.root, 'outline of 2'), outline)
  await truncate(join(record, '../3.record'), 10)
  const { reference, former } = await env.recollectAfter(async () => {})
  assert.deepEqual([reference, former?.number, former?.outline], [null, 3, null])
})

test('recollect() misses nothing where there was no generation', async (t) => {
  const root = await folderOf(t, { 'cardea.yaml': configOf('one') })
  const workshop = await workshopIn(root)
  const found = await recollect({ workshop, log: workshop.log, running: null, newLifecycle })
  assert.deepEqual(found, { reference: null, former: null })
})

test('recollect() compares with what another config or target in the folder served last, and serves that in no stead', async (t) => {
  const env = await withGenerations(t)
  const { root } = env
  const target = { kind: 'target', url: 'http://127.0.0.1:3000', port: null, directory: root } as const
  const sources = [
    { source: { kind: 'file', file: join(root, 'prod.yaml') }, madeOf: 'cardea.yaml' },
    { source: { kind: 'file', file: '/srv/cardea.yaml' }, madeOf: join(root, 'cardea.yaml') },
    { source: target, madeOf: 'cardea.yaml' },
  ] as const
  const { outline, record } = env.files
  for (const lost of [null, outline, record]) {
    const kept = lost === null ? null : await readFile(lost)
    if (lost !== null) await rm(lost)
    for (const { source, madeOf } of sources) {
      const workshop = { ...(await workshopIn(root)), source }
      const found = await recollect({ workshop, log: workshop.log, running: null, newLifecycle })
      assert.equal(found.reference, null)
      assert.deepEqual([found.former?.number, found.former?.madeOf], [2, madeOf])
      assert.deepEqual(guardsOf(found.former?.outline), ['guard'])
      assert.deepEqual(found.former?.overlay, OVERLAY)
    }
    if (lost !== null && kept !== null) await writeFile(lost, kept)
  }
})

test('recollect() goes by what the workers have where the store has lost it', async (t) => {
  const env = await withGenerations(t)
  const { candidate } = (await env.recollectAfter(async () => {})).reference ?? assert.fail('no generation')
  const instances = candidate.plan.instances.map((instance) => ({
    ...instance,
    quarantined: true,
    incarnation: 3,
  }))
  const running = { ...candidate.plan, instances }
  for (const harmed of [[env.files.record, env.files.outline], [join(env.root, '.cardea')]]) {
    for (const file of harmed) await rm(file, { recursive: true })
    const workshop = await workshopIn(env.root)
    const { reference, former } = await recollect({ workshop, log: workshop.log, running, newLifecycle })
    assert.equal(reference, null)
    assert.equal(former?.outline, running)
    assert.deepEqual(former.overlay.controls, {
      disabled: [],
      incarnations: { guard: 3 },
      quarantined: instances.map((instance) => quarantineOf(instance, instances, null)),
    })
    assert.equal(workshop.store.nextNumber(), 3)
  }
})

test('recollect() compares with what the workers were given where the variables of the config say something else by now', async (t) => {
  const root = await folderOf(t, {
    'cardea.yaml': configOf('${file:secret.txt}'),
    'secret.txt': 'old\n',
    ...GUARD,
  })
  await commitIn(root)
  const workshop = await workshopIn(root)
  const recollected = async (running: GenerationPlan | null): Promise<Candidate> => {
    const { reference } = await recollect({ workshop, log: workshop.log, running, newLifecycle })
    return reference?.candidate ?? assert.fail('no generation')
  }
  const { plan: running } = await recollected(null)
  await writeFiles(root, { 'secret.txt': 'new\n' })
  const bodyOf = ({ plan }: Candidate): unknown =>
    plan.routes.map(({ action }) => 'body' in action && action.body)
  assert.deepEqual(bodyOf(await recollected(running)), ['old'])
  // What serves nobody yet begins with what they say now.
  assert.deepEqual(bodyOf(await recollected(null)), ['new'])
  const { lifecycle } = await recollected(running)
  assert.deepEqual(
    lifecycle.plugins.map(({ state }) => state),
    [{ kind: 'active', generation: 1 }],
  )
})
