import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Answer, ask } from './soak/clients.ts'
import { ChangeWatch } from './support/change-watch.ts'
import { startGateway } from './support/gateway.ts'

/** Rate limiters that are swapped in the middle of their window, by code and by config in turns: they must forget nothing. */

const BUILT_IN = join(import.meta.dirname, '../plugins/rate-limit')
const SWAPS = 100
const ASKED_PER_SWAP = 6
/** Less than is asked for, by so much that most swaps come while there are tokens left. */
const LIMIT = 400
/** Of each worker: `host.state` is one worker's. */
const STATE_LIMIT = 60

/** What is filled up during the test is next to nothing: the limit is that of one window. */
function limiterCode(version: number): string {
  return `import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main<{ note: number }> = ({ note }, host) => {
  const windows = host.state('windows', 1, () => new Map<string, number>())
  return {
    name: 'limiter',
    handle(ctx) {
      const { path } = ctx.request
      const used = (windows.value.get(path) ?? 0) + 1
      windows.value.set(path, used)
      const byState = used <= ${STATE_LIMIT}
      const byQuota = host.quota({ key: path, rate: 0.001, burst: ${LIMIT} }).allowed
      return ctx.response.json({ pid: process.pid, byState, byQuota, made: '${version}.' + note })
    },
  }
}
`
}

interface Verdict {
  readonly pid: number
  readonly byState: boolean
  readonly byQuota: boolean
  readonly made: string
}

/** The built-in plugin under another name, so that its code can be changed. */
async function builtInFiles(version: number): Promise<Record<string, string>> {
  const files = ['plugin.json', 'plugin.ts', 'config.ts', 'keys.ts', 'client-address.ts', 'agreement.ts']
  const texts = await Promise.all(
    files.map(
      async (file): Promise<[string, string]> => [file, await readFile(join(BUILT_IN, file), 'utf8')],
    ),
  )
  const own = Object.fromEntries(texts)
  const manifest = { ...(JSON.parse(own['plugin.json'] ?? '') as object), name: 'copied-limit' }
  return {
    ...own,
    'plugin.json': JSON.stringify(manifest),
    'plugin.ts': `${own['plugin.ts']}\nexport const version = ${version}\n`,
  }
}

/** What changes with `note` is the config of both: of the built-in one, one of its options. */
function configOf(note: number): Record<string, unknown> {
  const limit = { limit: LIMIT, window: '20d', algorithm: 'fixed', headers: note % 4 < 2 }
  const builtIn = ['spread', 'alone'].map((name) => ({
    name,
    path: `/built-in/${name}`,
    respond: { status: 200 },
    plugins: { limiter: false },
  }))
  return {
    listen: [{ host: '127.0.0.1', port: 0 }],
    workers: 2,
    log: { level: 'warn' },
    routes: [
      ...builtIn,
      { name: 'all', path: '/*', respond: { status: 404 }, plugins: { 'copied-limit': false } },
    ],
    plugins: { limiter: { config: { note } }, 'copied-limit': { config: limit } },
  }
}

/** What clients saw of one limiter, by how they came. */
interface Seen {
  readonly spread: Answer[]
  readonly alone: Answer[]
}

/** New connections, which the workers share, and one connection, of which one worker has all. */
async function askBoth(port: number, prefix: string, agent: Agent, seen: Seen): Promise<void> {
  seen.spread.push(await ask(port, { path: `${prefix}/spread`, agent: false }))
  seen.alone.push(await ask(port, { path: `${prefix}/alone`, agent }))
}

function assertLimit(name: string, admitted: number): void {
  const ratio = admitted / LIMIT
  assert.ok(ratio >= 0.95 && ratio <= 1.05, `${name}: ${admitted} of ${LIMIT} were admitted`)
}

function assertOwn(seen: Seen): void {
  const verdicts = { spread: seen.spread.map(verdictOf), alone: seen.alone.map(verdictOf) }
  assert.equal(new Set(verdicts.alone.map(({ pid }) => pid)).size, 1)
  const made = new Set([...verdicts.spread, ...verdicts.alone].map((verdict) => verdict.made))
  assert.ok(made.size > SWAPS / 2, `Only ${made.size} of the limiters answered`)
  for (const [name, given] of Object.entries(verdicts)) {
    assertLimit(name, given.filter(({ byQuota }) => byQuota).length)
    for (const [pid, ofWorker] of Map.groupBy(given, (verdict) => verdict.pid)) {
      const byState = ofWorker.filter((verdict) => verdict.byState).length
      assert.equal(byState, Math.min(STATE_LIMIT, ofWorker.length), `${name}, worker ${pid}`)
    }
  }
}

function assertBuiltIn(seen: Seen): void {
  const withFields = seen.alone.filter((answer) => answer.field('ratelimit') !== '').length
  // Both configs have served.
  assert.ok(withFields > 0 && withFields < seen.alone.length, `${withFields} answers with fields`)
  for (const name of ['spread', 'alone'] as const) {
    assertLimit(`rate-limit, ${name}`, seen[name].filter(({ status }) => status === 200).length)
  }
}

test('a limiter on host.state and host.quota, and rate-limit, admit their limit however often they are swapped, on one worker as on two', async (t) => {
  const gateway = await startGateway(t, {
    config: configOf(0),
    plugins: {
      limiter: {
        'plugin.json': { name: 'limiter', version: '1.0.0', config: { note: 0 } },
        'plugin.ts': limiterCode(0),
      },
      'copied-limit': await builtInFiles(0),
    },
    readyDeadlineMs: 120_000,
  })
  await using changes = await ChangeWatch.start(gateway.dir.path)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const own: Seen = { spread: [], alone: [] }
  const builtIn: Seen = { spread: [], alone: [] }
  const traffic = async (): Promise<void> => {
    for (let asked = 0; asked < ASKED_PER_SWAP; asked++) {
      await askBoth(gateway.port, '/own', agent, own)
      await askBoth(gateway.port, '/built-in', agent, builtIn)
    }
  }
  const plugins = join(gateway.dir.path, 'plugins')
  for (let swap = 1; swap <= SWAPS; swap++) {
    const save = async (): Promise<void> => {
      if (swap % 2 === 0) {
        await writeFile(join(gateway.dir.path, 'cardea.yaml'), JSON.stringify(configOf(swap)))
        return
      }
      const code = (await builtInFiles(swap))['plugin.ts'] ?? ''
      await Promise.all([
        writeFile(join(plugins, 'limiter/plugin.ts'), limiterCode(swap)),
        writeFile(join(plugins, 'copied-limit/plugin.ts'), code),
      ])
    }
    await Promise.all([changes.change(save), traffic()])
  }
  assertOwn(own)
  assertBuiltIn(builtIn)
})

function verdictOf(answer: Answer): Verdict {
  if (answer.status !== 200) throw new Error(`It was answered ${answer.status}: ${answer.body}`)
  return JSON.parse(answer.body) as Verdict
}
