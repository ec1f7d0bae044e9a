import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type CommandResult, runCommand } from './support/cardea-command.ts'
import { startGateway, startGatewayIn, type TestGateway } from './support/gateway.ts'
import { logged, logLines } from './support/log-lines.ts'
import { waitFor } from './support/wait-for.ts'

/** How long a quarantine lasts, and which version takes the place of one that failed. */

/** Blocks a worker for `/block`. */
const blocking = (label: string): string => `export const PluginMain = () => ({
  name: 'hello',
  handle(ctx) {
    ctx.response.headers.set('x-label', '${label}')
    if (ctx.request.path === '/block') for (;;);
    return true
  },
})
`

const SOUND = blocking('sound').replace('for (;;);', 'return true')

interface Running {
  readonly gateway: TestGateway
  cardea(...args: string[]): Promise<CommandResult>
  /** Saves that code, and waits until it has answered with that label. */
  save(code: string, label: string): Promise<void>
  /** `sound 200`: the label, if any, and the status. */
  ask(path: string): Promise<string>
  answers(path: string, wanted: string): Promise<void>
  decisions(): string[]
}

async function start(t: TestContext, code: string, probation = '1h'): Promise<Running> {
  const gateway = await startGateway(t, {
    config: {
      workers: 1,
      log: { level: 'info', format: 'json' },
      faults: { stall: '300ms', probation },
      routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
    },
    plugins: { hello: { 'plugin.json': { name: 'hello', version: '1.0.0' }, 'plugin.ts': code } },
  })
  const ask = async (path: string): Promise<string> => {
    const response = await fetch(gateway.url + path, { headers: { connection: 'close' } })
    return `${response.headers.get('x-label') ?? 'none'} ${response.status}`
  }
  const answers = async (path: string, wanted: string): Promise<void> => {
    await waitFor(async () => (await ask(path)) === wanted, `${path} to be answered ${wanted}`)
  }
  return {
    gateway,
    ask,
    answers,
    cardea: (...args) => runCommand(t, args, { cwd: gateway.dir.path }),
    save: async (saved, label) => {
      await gateway.dir.write({ 'plugins/hello/plugin.ts': saved })
      await answers('/', `${label} 200`)
    },
    decisions: () =>
      logLines(gateway.stderr).flatMap(
        ({ message }) => /^Plugin fault: (.*)/.exec(String(message))?.slice(1) ?? [],
      ),
  }
}

test('two versions that block are not taken back to each other, but to the one that did not', async (t) => {
  const running = await start(t, SOUND)
  await running.save(blocking('two'), 'two')
  await running.save(blocking('three'), 'three')
  assert.equal(await running.ask('/block'), 'none 503')
  await running.answers('/', 'two 200')
  assert.equal(await running.ask('/block'), 'none 503')
  await running.answers('/', 'sound 200')
  assert.equal(await running.ask('/block'), 'sound 200')
  const taken = running.decisions().filter((text) => text.includes('taken back'))
  assert.equal(taken.length, 2)
  for (const text of taken) {
    assert.match(
      text,
      /^plugin "hello" 1\.0\.0 \([0-9a-f]{8}\) is on probation and is taken back to 1\.0\.0 \([0-9a-f]{8}\): it blocked the event loop$/,
    )
  }
  const history = await running.cardea('history')
  assert.match(history.stdout, /hello was quarantined: it blocked the event loop/)
  assert.match(history.stdout, /hello was taken back to 1\.0\.0 \([0-9a-f]{8}\): the new version failed/)
  const { stdout } = await running.cardea('history', '--json')
  const failed = [...stdout.matchAll(/"failed": ?"([0-9a-f]{8})[0-9a-f]+"/g)].map(([, hash]) => hash)
  const blamed = taken.map((text) => /\(([0-9a-f]{8})\) is on probation/.exec(text)?.[1])
  // Newest first; each take-back names the version that it is from, whatever pruning leaves of the generations between.
  assert.deepEqual(failed.toReversed(), blamed)
  const info = await running.cardea('plugin', 'info', 'hello')
  assert.match(
    info.stdout,
    /^ {2}Held back: plugin hello runs as 1\.0\.0 \([0-9a-f]{8}\), not as it stands on disk, /m,
  )
  for (const hash of blamed) assert.match(info.stdout, new RegExp(`  ${hash} +failed +`))
  // Nor is one of them picked for somebody who names none.
  const refused = await running.cardea('plugin', 'rollback', 'hello')
  assert.match(
    refused.stderr,
    /^PLUGIN_VERSIONS_FAILED: Plugin "hello" has no other version that did not fail: /,
  )
  await running.save(SOUND.replaceAll('sound', 'four'), 'four')
  const back = await running.cardea('plugin', 'rollback', 'hello')
  assert.equal(back.code, 0, back.stderr)
  assert.equal(await running.ask('/block'), 'sound 200')
})

test('a quarantine outlives rollbacks and other code in between, until somebody ends it', async (t) => {
  const running = await start(t, blocking('one'), '0s')
  const { gateway, cardea } = running
  assert.equal(await running.ask('/block'), 'none 503')
  await logged(gateway, /^Generation 2 is live/)
  const back = await cardea('rollback', '1')
  assert.equal(back.code, 0, back.stderr)
  assert.equal(await running.ask('/'), 'none 503')

  await running.save(SOUND, 'sound')
  await gateway.dir.write({ 'plugins/hello/plugin.ts': blocking('one') })
  await running.answers('/', 'none 503')
  assert.equal((await cardea('rollback')).code, 0)
  assert.equal(await running.ask('/'), 'sound 200')
  const refused = await cardea('plugin', 'rollback', 'hello')
  assert.equal(refused.code, 1)
  const [, hash = ''] = /^PLUGIN_VERSIONS_FAILED: .* 1\.0\.0 \(([0-9a-f]{8})\) of /.exec(refused.stderr) ?? []
  assert.equal(await running.ask('/'), 'sound 200')
  assert.equal((await cardea('plugin', 'rollback', 'hello', hash)).code, 0)
  assert.equal(await running.ask('/'), 'none 503')

  const state =
    'quarantined: "hello" blocked the event loop; mend and save it, or "cardea plugin reload hello"'
  assert.ok((await cardea('status')).stdout.includes(` ${state}\n`))
  assert.ok((await cardea('plugin', 'list')).stdout.includes(`  plugins/hello  ${state}\n`))
  assert.ok((await cardea('plugin', 'info', 'hello')).stdout.startsWith(`Plugin hello 1.0.0: ${state}\n`))
  assert.equal((await cardea('plugin', 'reload', 'hello')).code, 0)
  assert.equal(await running.ask('/'), 'one 200')
  assert.match((await cardea('plugin', 'list')).stdout, / plugins\/hello {2}validated\n/)
})

test('a plugin that is switched off and on again is quarantined no longer', async (t) => {
  const running = await start(t, blocking('one'), '0s')
  assert.equal(await running.ask('/block'), 'none 503')
  await logged(running.gateway, /^Generation 2 is live/)
  assert.equal((await running.cardea('plugin', 'disable', 'hello')).code, 0)
  assert.equal(await running.ask('/'), 'none 200')
  assert.equal((await running.cardea('plugin', 'enable', 'hello')).code, 0)
  assert.equal(await running.ask('/'), 'one 200')
})

test('a gateway that is started again says what is quarantined, held back and switched off', async (t) => {
  const running = await start(t, SOUND, '0s')
  const { gateway, cardea, save } = running
  await save(blocking('two'), 'two')
  assert.equal(await running.ask('/block'), 'none 503')
  await logged(gateway, /^Generation 3 is live/)
  await save(SOUND.replaceAll('sound', 'three'), 'three')
  const [, hash = ''] =
    /([0-9a-f]{8}) +failed +2–3/.exec((await cardea('plugin', 'versions', 'hello')).stdout) ?? []
  const back = await cardea('plugin', 'rollback', 'hello', hash)
  assert.match(back.stdout, /hello quarantined as before: this code and config harmed a worker/)
  await gateway.stop()

  const second = await startGatewayIn(t, gateway.dir)
  const { level, plugin } = await logged(
    second,
    /^"hello" is quarantined: it blocked the event loop\. Its on_failure decides .* "cardea plugin reload hello"$/,
  )
  assert.deepEqual([level, plugin], ['warn', 'hello'])
  const held = await logged(
    second,
    /^Plugin "hello" runs as 1\.0\.0 \([0-9a-f]{8}\), not as it stands on disk: /,
  )
  assert.equal(held.level, 'warn')
  assert.match(second.stdout, /all: \/\* {2}hello \(quarantined\) → answer 200/)
  assert.equal((await cardea('plugin', 'disable', 'hello')).code, 0)
  await second.stop()
  await logged(await startGatewayIn(t, gateway.dir), /^Plugin "hello" is switched off by command: /)
})
