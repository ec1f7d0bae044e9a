import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged } from './support/log-lines.ts'
import { waitFor } from './support/wait-for.ts'

/** What plugins keep, share and say to each other, in a gateway whose files change. One worker: states are per worker. */

const CONFIG = {
  workers: 1,
  log: { level: 'info', format: 'json' },
  listen: [{ host: '127.0.0.1', port: 0 }],
  routes: [{ name: 'all', path: '/*', respond: { status: 404 } }],
}

/** Answers `label`, the config's `by`, how often it was asked, and how often PluginMain ran. */
function counter(label: string, state: string, more = ''): string {
  return `
    let mains = 0
    export const PluginMain = (config, host) => {
      const hits = host.state('hits', ${state})
      mains++
      const made = (config) => ({
        name: 'counter',
        handle: (ctx) => ctx.response.json({ label: '${label}', by: config.by, hits: ++hits.value.count, mains }),
        ${more}
      })
      return made(config)
    }`
}
const V1 = '1, () => ({ count: 0 })'
const UPDATES = `updateConfig(next) {
  if (next.by > 99) throw new Error('more than 99')
  return made(next)
},`

interface Answer {
  readonly label: string
  readonly by: number
  readonly hits: number
  readonly mains: number
}

async function ask(gateway: TestGateway): Promise<Answer> {
  const response = await fetch(gateway.url, { headers: { connection: 'close' } })
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()) as Answer
}

/** Asks until the answer is of that kind; every one is checked. */
async function served(gateway: TestGateway, wanted: Partial<Answer>): Promise<Answer> {
  return waitFor(
    async () => {
      const answer = await ask(gateway)
      const found = Object.entries(wanted).every(([key, value]) => answer[key as keyof Answer] === value)
      return found ? answer : null
    },
    `an answer with ${JSON.stringify(wanted)}`,
  )
}

const manifest = (name: string, more: object = {}) => ({ name, version: '1.0.0', ...more })

async function counting(t: TestContext, code: string): Promise<TestGateway> {
  const plugin = { 'plugin.json': manifest('counter', { config: { by: 1 } }), 'plugin.ts': code }
  return startGateway(t, { config: CONFIG, plugins: { counter: plugin } })
}

test('a state survives swaps of code and config, a migration that fails, and one that does not', async (t) => {
  const gateway = await counting(t, counter('one', V1))
  const { dir } = gateway
  const counts: number[] = [(await ask(gateway)).hits]
  const expectMore = (answer: Answer): void => {
    assert.ok(answer.hits > (counts.at(-1) ?? 0), `${answer.hits} after ${counts.join(', ')}`)
    counts.push(answer.hits)
  }
  await dir.write({ 'plugins/counter/plugin.ts': counter('two', V1) })
  expectMore(await served(gateway, { label: 'two' }))
  await dir.write({ 'cardea.yaml': { ...CONFIG, plugins: { counter: { config: { by: 7 } } } } })
  expectMore(await served(gateway, { label: 'two', by: 7 }))

  const failing = `2, (previous) => { throw new Error(previous === null ? 'nothing' : 'cannot read ' + previous.value.count) }`
  await dir.write({ 'plugins/counter/plugin.ts': counter('three', failing) })
  const line = await logged(gateway, /Cannot make state "hits" version 2 of version 1 .*: cannot read \d+/)
  assert.equal(line.level, 'error')
  expectMore(await served(gateway, { label: 'two', by: 7 }))

  await dir.write({
    'plugins/counter/plugin.ts': counter(
      'four',
      '2, (previous) => ({ count: previous.value.count + 1_000 })',
    ),
  })
  const migrated = await served(gateway, { label: 'four', by: 7 })
  assert.ok(migrated.hits > 1_000 + (counts.at(-1) ?? 0), `${migrated.hits}`)
})

test('updateConfig makes the instance of the new config, and one that refuses is heard of before any worker', async (t) => {
  const gateway = await counting(t, counter('one', V1, UPDATES))
  const setBy = (by: number) =>
    gateway.dir.write({ 'cardea.yaml': { ...CONFIG, plugins: { counter: { config: { by } } } } })
  await setBy(2)
  assert.equal((await served(gateway, { by: 2 })).mains, 1)
  await setBy(100)
  const { stage, line } = await logged(gateway, /Cannot update the config of plugin "counter": more than 99/)
  assert.deepEqual([stage, line], ['trial', 10])
  await setBy(3)
  assert.equal((await served(gateway, { by: 3 })).mains, 1)
})

const AUTH = (label: string): string => `
  export const PluginMain = (config, host) => {
    host.provide({ label: () => '${label}' })
    return { name: 'auth', handle: () => true }
  }`
const USER = `
  export const PluginMain = (config, host) => {
    const auth = host.use('auth')
    return { name: 'user', handle: async (ctx) => ctx.response.json({ label: await auth.label() }) }
  }`

test('a dependency that goes, comes in another version or turns around keeps the last good generation', async (t) => {
  const gateway = await startGateway(t, {
    config: CONFIG,
    plugins: {
      auth: { 'plugin.json': manifest('auth', { scope: 'route' }), 'plugin.ts': AUTH('first') },
      user: { 'plugin.json': manifest('user', { dependencies: { auth: '^1.0.0' } }), 'plugin.ts': USER },
    },
  })
  const { dir } = gateway
  assert.equal((await ask(gateway)).label, 'first')

  await dir.write({
    'plugins/auth/plugin.json': { ...manifest('auth', { scope: 'route' }), version: '2.0.0' },
  })
  await logged(gateway, /Plugin "user" needs "auth" \^1\.0\.0, but .* holds version 2\.0\.0/)
  await dir.write({
    'plugins/auth/plugin.json': manifest('auth', { scope: 'route', dependencies: { user: '*' } }),
  })
  await logged(gateway, /Plugin "auth" needs itself: auth → user → auth/)
  await rm(join(dir.path, 'plugins/auth'), { recursive: true })
  await logged(gateway, /Plugin "user" needs "auth" \^1\.0\.0, but there is no plugin of that name/)
  assert.equal((await ask(gateway)).label, 'first')

  await dir.write({
    'plugins/auth/plugin.json': manifest('auth', { scope: 'route' }),
    'plugins/auth/plugin.ts': AUTH('second'),
  })
  await served(gateway, { label: 'second' })
})
