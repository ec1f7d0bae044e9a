import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { askGateway } from '../packages/gateway/src/cli/control-client.ts'
import type { ChangeReport } from '../packages/gateway/src/protocol/control.ts'
import { type CommandResult, runCommand } from './support/cardea-command.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { sayings } from './support/log-lines.ts'
import { waitFor } from './support/wait-for.ts'

/** A change by which a route loses a security plugin: what is said of it, and what requests meet until somebody agrees. */

const HERE = { respond: { status: 200, body: 'here' } }
const configOf = (routes: readonly object[]) => ({
  listen: [{ host: '127.0.0.1', port: 0 }],
  workers: 1,
  log: { level: 'info', format: 'json' },
  routes,
})

interface Running extends TestGateway {
  cardea(...args: string[]): Promise<CommandResult>
  save(routes: readonly object[]): Promise<void>
  statusOf(path: string): Promise<number>
  /** Waits until the newest change is held, and its losses are as wanted. */
  held(isWanted: (report: ChangeReport) => boolean): Promise<ChangeReport>
}

async function start(
  t: TestContext,
  routes: readonly object[],
  plugins: Parameters<typeof startGateway>[1]['plugins'] = {},
): Promise<Running> {
  const gateway = await startGateway(t, { config: configOf(routes), plugins })
  const directory = gateway.dir.path
  // A getter would be read once by a spread: what it writes is asked for anew each time.
  return Object.assign(Object.create(gateway) as TestGateway, {
    cardea: (...args: string[]) => runCommand(t, args, { cwd: directory }),
    save: (next: readonly object[]) => gateway.dir.write({ 'cardea.yaml': configOf(next) }),
    statusOf: async (path: string) => {
      const response = await fetch(`${gateway.url}${path}`, { headers: { connection: 'close' } })
      await response.text()
      return response.status
    },
    held: (isWanted: (report: ChangeReport) => boolean) =>
      waitFor(
        async () => {
          const { pending } = await askGateway({ command: 'status' }, { directory, who: 'a test' })
          return pending?.outcome === 'held' && isWanted(pending) ? pending : null
        },
        'a change that is held',
        30_000,
      ),
  })
}

/** A security plugin that answers with `status`, or lets everything through where that is 200. */
const guard = (name: string, status: number) => ({
  'plugin.json': { name, version: '1.0.0', category: 'security', scope: 'route' },
  'plugin.ts': `export const PluginMain = () => ({
  name: '${name}',
  handle: (ctx) => ${status === 200} || ctx.response.json({}, { status: ${status} }),
})
`,
})

const JWT = {
  plugin: 'jwt',
  config: { algorithms: ['HS256'], keys: { secret: '0123456789abcdef'.repeat(2) } },
}
const CORS = { plugin: 'cors', config: { origins: ['https://a.example'] } }

test('a route whose security plugin is replaced by another one under the same name is held', async (t) => {
  const route = (guard: object | false, more: object = {}) => [
    { name: 'api', path: '/*', ...HERE, plugins: { guard, ...more } },
  ]
  const gateway = await start(t, route(JWT))
  assert.equal(await gateway.statusOf('/'), 401)
  await gateway.save(route(CORS))
  const { held, changes } = await gateway.held(() => true)
  assert.deepEqual(
    held.map((loss) => 'reason' in loss && loss.reason),
    ['route "api" runs plugin "cors" as "guard", not plugin "jwt"'],
  )
  assert.equal(changes[0], 'guard runs plugin cors instead of jwt on route api')
  assert.equal(await gateway.statusOf('/'), 401)

  // Another config of the same plugin is no loss.
  const said = sayings(gateway)
  await gateway.save(
    route({ ...JWT, config: { ...JWT.config, keys: { secret: 'fedcba9876543210'.repeat(2) } } }),
  )
  await said(/Generation \d+ is live: guard: new config/)
  assert.equal(await gateway.statusOf('/'), 401)
  // And this is how the config says that it is meant.
  await gateway.save(route(false, { origins: CORS }))
  await waitFor(async () => (await gateway.statusOf('/')) === 200, 'the route without its guard')
})

test('a route whose own security plugin is replaced by another one of its folder is held until approve', async (t) => {
  const route = (name: string) => [{ name: 'api', path: '/*', ...HERE, plugins: { guard: { plugin: name } } }]
  const plugins = { strict: guard('strict', 403), lax: guard('lax', 200) }
  const gateway = await start(t, route('strict'), plugins)
  assert.equal(await gateway.statusOf('/'), 403)
  await gateway.save(route('lax'))
  await gateway.held(() => true)
  assert.equal(await gateway.statusOf('/'), 403)
  const approved = await gateway.cardea('approve')
  assert.equal(approved.code, 0, approved.stdout + approved.stderr)
  assert.equal(await gateway.statusOf('/'), 200)
})

test('every route that takes requests without their security plugin is told, and approve lets in all of them', async (t) => {
  const api = { name: 'api', path: '/api/*', ...HERE, plugins: { auth: {} } }
  const open = (name: string, path: string) => ({
    name,
    path,
    ...HERE,
    plugins: { auth: { enabled: false } },
  })
  const routes = [api, open('health', '/api/health'), open('admin', '/api/admin/*')]
  const gateway = await start(t, [api], { auth: guard('auth', 403) })
  const said = sayings(gateway)
  await gateway.save(routes)
  await gateway.held(({ held }) => held.length === 2)
  const status = await gateway.cardea('status')
  const wayOut =
    / {2}If that is meant: write "auth: false" under `plugins:` of routes (.*), or run "cardea approve [0-9a-f]{8}"\.$/m
  assert.deepEqual(wayOut.exec(status.stdout)?.[1]?.split(', ').sort(), ['admin', 'health'])
  for (const [name, path] of [
    ['health', '/api/health'],
    ['admin', '/api/admin/x'],
  ] as const) {
    assert.match(status.stdout, new RegExp(`^ {2}route api would lose .* now go to route "${name}"`, 'm'))
    await said(new RegExp(`Say \\\\"auth: false\\\\" under the plugins of route \\\\"${name}\\\\"`))
    assert.equal(await gateway.statusOf(path), 403)
  }
  const approved = await gateway.cardea('approve')
  assert.equal(approved.code, 0, approved.stdout + approved.stderr)
  assert.equal(await gateway.statusOf('/api/health'), 200)
  assert.equal(await gateway.statusOf('/api/admin/x'), 200)
  assert.equal(await gateway.statusOf('/api/x'), 403)
})

test('approve with the id of what somebody was shown lets in nothing that was saved since', async (t) => {
  const route = (name: string, isOpen: boolean) => ({
    name,
    path: `/${name}`,
    ...HERE,
    plugins: isOpen ? {} : { auth: {} },
  })
  const gateway = await start(t, [route('a', false), route('b', false)], { auth: guard('auth', 403) })
  const said = sayings(gateway)
  await gateway.save([route('a', true), route('b', false)])
  const shown = await gateway.held(() => true)
  const id = shown.heldId ?? assert.fail('no id')
  await said(new RegExp(`route a would lose security plugin .* or run \\\\"cardea approve ${id}\\\\"`))
  assert.match((await gateway.cardea('status')).stdout, new RegExp(`or run "cardea approve ${id}"\\.$`, 'm'))

  await gateway.save([route('a', true), route('b', true)])
  const now = await gateway.held(({ heldId }) => heldId !== id)
  const outdated = await gateway.cardea('approve', id)
  assert.deepEqual([outdated.code, outdated.stdout], [1, ''])
  assert.match(
    outdated.stderr,
    new RegExp(
      `^APPROVAL_OUTDATED: Cannot approve ${id}: what is held now is ${now.heldId} \\(route a would lose .*; ` +
        `route b would lose .*\\)\\. .* run "cardea approve ${now.heldId}"\\.$`,
      'm',
    ),
  )
  assert.deepEqual([await gateway.statusOf('/a'), await gateway.statusOf('/b')], [403, 403])

  // Back to what was shown: it is the same again, and has the same id.
  await gateway.save([route('a', true), route('b', false)])
  await gateway.held(({ heldId }) => heldId === id)
  const approved = await gateway.cardea('approve', id)
  assert.equal(approved.code, 0, approved.stdout + approved.stderr)
  assert.match(approved.stdout, /^ {2}approved {2}route a loses security plugin auth: /m)
  assert.deepEqual([await gateway.statusOf('/a'), await gateway.statusOf('/b')], [200, 403])
})
