import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { GatewayStatus } from '../packages/gateway/src/protocol/control.ts'
import { type CommandResult, runCommand } from './support/cardea-command.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged } from './support/log-lines.ts'
import { waitFor } from './support/wait-for.ts'

/** What is said of a change that went live: in the log, by the command that asked for it, and in what is kept of it. */

const OTHERS = Array.from({ length: 10 }, (_, index) => `other-${index}`)

const sourceOf = (name: string, value: string): string => `export const PluginMain = () => ({
  name: '${name}',
  handle(ctx) {
    ctx.response.headers.set('x-${name}', '${value}')
    return true
  },
})
`

const plugin = (name: string, more: object = {}) => ({
  'plugin.json': { name, version: '1.0.0', ...more },
  'plugin.ts': sourceOf(name, 'one'),
})

function configOf(format: 'json' | 'pretty'): Readonly<Record<string, unknown>> {
  return {
    listen: [{ host: '127.0.0.1', port: 0 }],
    workers: 2,
    log: { level: 'info', format },
    routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
  }
}

async function start(t: TestContext): Promise<{
  readonly gateway: TestGateway
  cardea(...args: string[]): Promise<CommandResult>
}> {
  const plugins = Object.fromEntries([
    ...[...OTHERS, 'base'].map((name) => [name, plugin(name)] as const),
    ['user', plugin('user', { dependencies: { base: '^1.0.0' } })],
  ])
  const gateway = await startGateway(t, { config: configOf('json'), plugins })
  return { gateway, cardea: (...args) => runCommand(t, args, { cwd: gateway.dir.path }) }
}

/** Numbers with more than one digit after the point. */
function tooPrecise(times: unknown): unknown[] {
  const all = typeof times === 'object' && times !== null ? Object.values(times) : [times]
  return all.filter((ms) => !/^\d+(\.\d)?$/.test(String(ms)))
}

const sorted = (names: unknown): unknown[] => (Array.isArray(names) ? names.toSorted() : [names])

test('the log line of a change names the instances that were made anew, and those that were carried over', async (t) => {
  const { gateway, cardea } = await start(t)
  const all = [...OTHERS, 'base', 'user'].toSorted()
  const first = await logged(gateway, /^Generation 1 is live/)
  assert.deepEqual([sorted(first.started), first.carried], [all, []])

  await gateway.dir.write({ 'plugins/user/plugin.ts': sourceOf('user', 'two') })
  const second = await logged(gateway, /^Generation 2 is live: plugin user 1\.0\.0: new code/)
  assert.deepEqual([...tooPrecise(second.stages), ...tooPrecise(second.skewMs)], [])
  const kept = all.filter((name) => name !== 'user')
  // What it depends on goes through the trial with it, and lives on as it is.
  assert.deepEqual([second.started, sorted(second.carried)], [['user'], kept])
  const { events } = JSON.parse((await cardea('status', '--json')).stdout) as GatewayStatus
  const reports = events.flatMap((event) => (event.kind === 'change' ? [event.report] : []))
  assert.deepEqual(
    reports.map(({ generation, carried }) => [generation, sorted(carried)]),
    [
      [2, kept],
      [1, []],
    ],
  )

  const some = '(?:[a-z0-9-]+, ){7}[a-z0-9-]+'
  const reload = await cardea('plugin', 'reload', 'user')
  assert.match(
    reload.stdout,
    new RegExp(`^ {2}instances made anew: user; carried over: ${some} and 3 more$`, 'm'),
  )
  await gateway.dir.write({ 'cardea.yaml': configOf('pretty') })
  const entry = await waitFor(
    () => /INFO: \[supervisor\] Generation 4 is live.*\n(?: {4}.*\n)+/.exec(gateway.stderr)?.[0],
    'the line for people',
  )
  assert.match(entry, new RegExp(`\n {4}started: none\n {4}carried: ${some} and 4 more\n`))
})

test('a rollback names what stands otherwise on disk and is held, and says nothing where nothing does', async (t) => {
  const { gateway, cardea } = await start(t)
  assert.equal((await cardea('plugin', 'disable', 'user')).code, 0)
  const same = await cardea('rollback', '1')
  assert.match(same.stdout, /^Generation 3 is live after /)
  assert.doesNotMatch(same.stdout, /held|release/)
  assert.doesNotMatch((await cardea('status')).stdout, /Held back/)

  await gateway.dir.write({
    'cardea.yaml': { ...configOf('json'), debug: true },
    'plugins/user/plugin.ts': sourceOf('user', 'two'),
    'plugins/base/plugin.ts': sourceOf('base', 'two'),
  })
  await waitFor(async () => {
    const { headers } = await fetch(gateway.url)
    const said = ['x-base', 'x-user', 'x-cardea-generation'].map((name) => headers.get(name))
    return said[0] === 'two' && said[1] === 'two' && said[2] !== null
  }, 'all that was saved')
  const back = await cardea('rollback', '1')
  assert.match(
    back.stdout,
    /\n {2}What differs on disk is held until it changes: config, base, user; "cardea release" lets it in as it is\.\n$/,
  )
  assert.match((await cardea('status')).stdout, /^Held back\n {2}the config runs as generation 1, /m)
  const free = await cardea('release')
  assert.doesNotMatch(free.stdout, /held/)
})
