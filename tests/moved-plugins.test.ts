import assert from 'node:assert/strict'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { askGateway } from '../packages/gateway/src/cli/control-client.ts'
import type { GatewayStatus, PluginVersion } from '../packages/gateway/src/protocol/control.ts'
import { runCommand } from './support/cardea-command.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { waitFor } from './support/wait-for.ts'

/** A plugin is known by its name: that its folder is called otherwise by now hinders no way back. */

const sourceOf = (label: string): string => `export const PluginMain = () => ({
  name: 'greeter',
  handle(ctx) {
    ctx.response.headers.set('x-label', '${label}')
    if (ctx.request.path === '/block') for (;;);
    return true
  },
})
`

interface Site {
  readonly gateway: TestGateway
  readonly directory: string
  /** Runs a command that must succeed. Returns what it prints. */
  done(...args: string[]): Promise<string>
  status(): Promise<GatewayStatus>
  /** Waits until requests are answered with that label. */
  answers(label: string): Promise<void>
  save(folder: string, label: string): Promise<void>
  /** Saves one more plugin, and waits until it runs: a change that looks at all that stands on disk. */
  addAnother(): Promise<void>
  /** Content hash of the version that is meant. */
  hash(isMeant: (version: PluginVersion) => boolean): Promise<string>
}

/** The version `one` of a plugin has served, then `two`, whose folder was given another name, and was changed there or not. */
async function startMoved(t: TestContext, label: string): Promise<Site> {
  const gateway = await startGateway(t, {
    config: {
      workers: 1,
      faults: { stall: '300ms', probation: '1h' },
      routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
    },
    plugins: {
      greeter: { 'plugin.json': { name: 'greeter', version: '1.0.0' }, 'plugin.ts': sourceOf('one') },
    },
  })
  const directory = gateway.dir.path
  const status = () => askGateway({ command: 'status' }, { directory, who: 'a test' })
  const shown = async (name = 'x-label'): Promise<string | null> => {
    const response = await fetch(gateway.url, { headers: { connection: 'close' } })
    return response.headers.get(name)
  }
  const site: Site = {
    gateway,
    directory,
    status,
    done: async (...args) => {
      const { code, stdout, stderr } = await runCommand(t, args, { cwd: directory })
      assert.equal(code, 0, stdout + stderr)
      return stdout
    },
    answers: async (wanted) => {
      await waitFor(async () => (await shown()) === wanted, `the label ${wanted}`)
    },
    addAnother: async () => {
      await gateway.dir.write({
        'plugins/another/plugin.json': '{ "name": "another", "version": "1.0.0" }',
        'plugins/another/plugin.ts': sourceOf('there')
          .replace('greeter', 'another')
          .replace('x-label', 'x-another'),
      })
      await waitFor(async () => (await shown('x-another')) === 'there', 'the other plugin')
    },
    hash: async (isMeant) => {
      const versions: readonly PluginVersion[] = await askGateway(
        { command: 'plugin-versions', plugin: 'greeter' },
        { directory, who: 'a test' },
      )
      const found = versions.find(isMeant)
      assert.ok(found !== undefined)
      return found.contentHash
    },
    save: (folder, text) => gateway.dir.write({ [`plugins/${folder}/plugin.ts`]: sourceOf(text) }),
  }
  await site.save('greeter', 'two')
  await site.answers('two')
  await rename(join(directory, 'plugins/greeter'), join(directory, 'plugins/moved'))
  if (label === 'two') return site
  await site.save('moved', label)
  await site.answers(label)
  return site
}

/** To the version of the first generation. */
async function rollBackToOne(site: Site): Promise<void> {
  const one = await site.hash(({ generations }) => generations[0]?.first === 1)
  await site.done('plugin', 'rollback', 'greeter', one)
  await site.answers('one')
}

for (const [what, label] of [
  ['renamed', 'two'],
  ['renamed and changed', 'more'],
] as const) {
  test(`plugin rollback brings back a version from before its folder was ${what}, until that is mended`, async (t) => {
    const site = await startMoved(t, label)
    await rollBackToOne(site)
    await site.addAnother()
    await site.answers('one')
    await site.save('moved', 'three')
    await site.answers('three')
    assert.deepEqual((await site.status()).pins, [])
  })

  test(`rollback brings back a generation from before a folder was ${what}, until that is mended`, async (t) => {
    const site = await startMoved(t, label)
    await site.done('rollback', '1')
    await site.answers('one')
    await site.done('release', 'greeter')
    await site.answers(label)
    await site.done('rollback', '1')
    await site.answers('one')
    await site.save('moved', 'three')
    await site.answers('three')
  })

  test(`a version that fails on probation is taken back, though its folder was ${what}`, async (t) => {
    const site = await startMoved(t, label)
    await fetch(`${site.gateway.url}/block`, { headers: { connection: 'close' } })
    const before = label === 'two' ? 'one' : 'two'
    await site.answers(before)
    await site.addAnother()
    await site.answers(before)
    await site.save('moved', 'three')
    await site.answers('three')
  })

  test(`plugin rollback to what stands on disk holds nothing back, though its folder was ${what}`, async (t) => {
    const site = await startMoved(t, label)
    const live = await site.hash(({ isLive }) => isLive)
    await rollBackToOne(site)
    await site.done('plugin', 'rollback', 'greeter', live)
    await site.answers(label)
    assert.deepEqual((await site.status()).pins, [])
  })
}

test('a version that is held back stays so in a folder of another name, until it is released', async (t) => {
  const site = await startMoved(t, 'more')
  await rollBackToOne(site)
  await rename(join(site.directory, 'plugins/moved'), join(site.directory, 'plugins/again'))
  await site.addAnother()
  await site.answers('one')
  assert.deepEqual(
    (await site.status()).pins.map(({ unit }) => unit),
    ['greeter'],
  )
  await site.done('release', 'greeter')
  await site.answers('more')
  assert.deepEqual((await site.status()).pins, [])
})

test('what runs by rollback in place of a deleted plugin makes room for one that is made anew in another folder', async (t) => {
  const site = await startMoved(t, 'more')
  const live = await site.hash(({ isLive }) => isLive)
  await rm(join(site.directory, 'plugins/moved'), { recursive: true })
  const isGone = async () => (await site.status()).plugins.every(({ name }) => name !== 'greeter')
  await waitFor(isGone, 'the deletion')
  await site.done('plugin', 'rollback', 'greeter', live)
  await site.answers('more')
  await site.gateway.dir.write({
    'plugins/anew/plugin.json': '{ "name": "greeter", "version": "3.0.0" }',
    'plugins/anew/plugin.ts': sourceOf('anew'),
  })
  await site.answers('anew')
  assert.deepEqual((await site.status()).pins, [])
})
