import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Answer, ask } from './soak/clients.ts'
import { ChangeWatch } from './support/change-watch.ts'
import { startGateway } from './support/gateway.ts'

/** A rate limiter that is swapped in the middle of its window, by code and by config in turns: it must forget nothing. */

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

function configOf(note: number): Record<string, unknown> {
  return {
    listen: [{ host: '127.0.0.1', port: 0 }],
    workers: 2,
    log: { level: 'warn' },
    routes: [{ name: 'all', path: '/*', respond: { status: 404 } }],
    plugins: { limiter: { config: { note } } },
  }
}

interface Verdict {
  readonly pid: number
  readonly byState: boolean
  readonly byQuota: boolean
  readonly made: string
}

test('a limiter on host.state and host.quota admits its limit however often it is swapped, on one worker as on two', async (t) => {
  const gateway = await startGateway(t, {
    config: configOf(0),
    plugins: {
      limiter: {
        'plugin.json': { name: 'limiter', version: '1.0.0', config: { note: 0 } },
        'plugin.ts': limiterCode(0),
      },
    },
    readyDeadlineMs: 120_000,
  })
  await using changes = await ChangeWatch.start(gateway.dir.path)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const verdicts = { spread: [] as Verdict[], alone: [] as Verdict[] }
  const traffic = async (): Promise<void> => {
    for (let asked = 0; asked < ASKED_PER_SWAP; asked++) {
      verdicts.spread.push(verdictOf(await ask(gateway.port, { path: '/spread', agent: false })))
      // One connection: one worker has all of it.
      verdicts.alone.push(verdictOf(await ask(gateway.port, { path: '/alone', agent })))
    }
  }
  for (let swap = 1; swap <= SWAPS; swap++) {
    const save =
      swap % 2 === 0
        ? () => writeFile(join(gateway.dir.path, 'cardea.yaml'), JSON.stringify(configOf(swap)))
        : () => writeFile(join(gateway.dir.path, 'plugins/limiter/plugin.ts'), limiterCode(swap))
    await Promise.all([changes.change(save), traffic()])
  }

  assert.equal(new Set(verdicts.alone.map(({ pid }) => pid)).size, 1)
  const seen = new Set([...verdicts.spread, ...verdicts.alone].map(({ made }) => made))
  assert.ok(seen.size > SWAPS / 2, `Only ${seen.size} of the limiters answered`)
  for (const [name, given] of Object.entries(verdicts)) {
    const admitted = given.filter(({ byQuota }) => byQuota).length
    const ratio = admitted / LIMIT
    assert.ok(ratio >= 0.95 && ratio <= 1.05, `${name}: ${admitted} of ${LIMIT} were admitted`)
    for (const [pid, ofWorker] of Map.groupBy(given, (verdict) => verdict.pid)) {
      const byState = ofWorker.filter((verdict) => verdict.byState).length
      assert.equal(byState, Math.min(STATE_LIMIT, ofWorker.length), `${name}, worker ${pid}`)
    }
  }
})

/** The built-in plugin under another name, so that its code can be changed. */
async function builtInFiles(version: number): Promise<Record<string, string>> {
  const files = ['plugin.json', 'plugin.ts', 'config.ts', 'keys.ts', 'client-address.ts']
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

/** What changes with `note` is one of its options. */
function builtInConfig(note: number): Record<string, unknown> {
  const config = { limit: LIMIT, window: '20d', algorithm: 'fixed', headers: note % 4 < 2 }
  return {
    listen: [{ host: '127.0.0.1', port: 0 }],
    workers: 2,
    log: { level: 'warn' },
    routes: ['spread', 'alone'].map((name) => ({ name, path: `/${name}`, respond: { status: 200 } })),
    plugins: { 'copied-limit': { config } },
  }
}

test('the plugin rate-limit admits its limit however often it is swapped, on one worker as on two', async (t) => {
  const gateway = await startGateway(t, {
    config: builtInConfig(0),
    plugins: { 'copied-limit': await builtInFiles(0) },
    readyDeadlineMs: 120_000,
  })
  await using changes = await ChangeWatch.start(gateway.dir.path)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const admitted = { spread: 0, alone: 0 }
  let withFields = 0
  const traffic = async (): Promise<void> => {
    for (let asked = 0; asked < ASKED_PER_SWAP; asked++) {
      const spread = await ask(gateway.port, { path: '/spread', agent: false })
      const alone = await ask(gateway.port, { path: '/alone', agent })
      if (spread.status === 200) admitted.spread += 1
      if (alone.status === 200) admitted.alone += 1
      if (alone.field('ratelimit') !== '') withFields += 1
    }
  }
  for (let swap = 1; swap <= SWAPS; swap++) {
    const code = join(gateway.dir.path, 'plugins/copied-limit/plugin.ts')
    const save = async (): Promise<void> => {
      if (swap % 2 === 0) {
        await writeFile(join(gateway.dir.path, 'cardea.yaml'), JSON.stringify(builtInConfig(swap)))
      } else await writeFile(code, (await builtInFiles(swap))['plugin.ts'] ?? '')
    }
    await Promise.all([changes.change(save), traffic()])
  }
  // Both configs have served.
  assert.ok(withFields > 0 && withFields < SWAPS * ASKED_PER_SWAP, `${withFields} answers with fields`)
  for (const [name, count] of Object.entries(admitted)) {
    const ratio = count / LIMIT
    assert.ok(ratio >= 0.95 && ratio <= 1.05, `${name}: ${count} of ${LIMIT} were admitted`)
  }
})

function verdictOf(answer: Answer): Verdict {
  if (answer.status !== 200) throw new Error(`It was answered ${answer.status}: ${answer.body}`)
  return JSON.parse(answer.body) as Verdict
}
