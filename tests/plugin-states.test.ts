import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { runCommand } from './support/cardea-command.ts'
import { startGateway } from './support/gateway.ts'
import { type LogLine, logged, logLines } from './support/log-lines.ts'
import { killProcesses } from './support/processes.ts'
import { type FileContents, withTempDir } from './support/temp-dir.ts'

/** What the log of a gateway says of the way of its plugins. */

const ROUTES = [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }]
const DEBUG = { log: { level: 'debug', format: 'json' } }
const GOOD = `export const PluginMain = () => ({ name: 'x', handle: () => true })`
const manifest = (name: string) => ({ name, version: '1.0.0' })

/** Runs a gateway that cannot start; what it wrote, log lines apart. */
async function failToStart(t: TestContext, files: Readonly<Record<string, FileContents>>) {
  const dir = await withTempDir()
  t.after(() => dir[Symbol.asyncDispose]())
  await dir.write({
    'cardea.json': { listen: [{ host: '127.0.0.1', port: 0 }], workers: 2, routes: ROUTES, ...DEBUG },
    ...files,
  })
  const { code, stderr } = await runCommand(t, ['serve', '--strict'], { cwd: dir.path })
  const lines = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine)
  return { code, lines, path: (file: string) => `${dir.path}/${file}` }
}

const statesOf = (lines: readonly LogLine[], plugin: string) =>
  lines.flatMap((line) => (line.plugin === plugin && 'state' in line ? [line.state] : []))

const failuresOf = (lines: readonly LogLine[]) => lines.filter(({ state }) => state === 'failed')

test('the log has a plugin that does not compile with stage, code, file and line', async (t) => {
  const { code, lines, path } = await failToStart(t, {
    'plugins/broken/plugin.json': manifest('broken'),
    'plugins/broken/plugin.ts': '\nexport const PluginMain = ( => 1',
    'plugins/good/plugin.json': manifest('good'),
    'plugins/good/plugin.ts': GOOD,
  })
  assert.equal(code, 1)
  const [line, ...more] = failuresOf(lines)
  assert.deepEqual(more, [])
  assert.deepEqual(
    [line?.plugin, line?.stage, line?.code, line?.file, line?.line],
    ['broken', 'build', 'PLUGIN_BUILD_FAILED', path('plugins/broken/plugin.ts'), 2],
  )
  assert.deepEqual(statesOf(lines, 'good'), ['discovered', 'verified', 'built'])
})

test('the log has a plugin that does not start, whatever its instance is named, with its own line', async (t) => {
  const { code, lines, path } = await failToStart(t, {
    'cardea.json': {
      listen: [{ host: '127.0.0.1', port: 0 }],
      workers: 2,
      plugins: { store: { plugin: 'broken' }, broken: false },
      routes: ROUTES,
      ...DEBUG,
    },
    'plugins/broken/plugin.json': manifest('broken'),
    'plugins/broken/plugin.ts': `
      import { connect } from './connect.ts'
      export const PluginMain = () => connect()
    `,
    'plugins/broken/connect.ts': `\n\nexport function connect() { throw new Error('no database') }`,
    'plugins/good/plugin.json': manifest('good'),
    'plugins/good/plugin.ts': GOOD,
  })
  assert.equal(code, 1)
  const [line, ...more] = failuresOf(lines)
  assert.deepEqual(more, [], 'said once, however many workers failed')
  assert.deepEqual(
    [line?.plugin, line?.stage, line?.code, line?.file, line?.line],
    ['broken', 'start', 'PLUGIN_START_FAILED', path('plugins/broken/connect.ts'), 3],
  )
  assert.deepEqual(statesOf(lines, 'good'), ['discovered', 'verified', 'built', 'validated'])
})

test('the log follows a plugin to the end: stopped when its stop has run in every worker', async (t) => {
  const gateway = await startGateway(t, {
    config: { workers: 2, routes: ROUTES, ...DEBUG },
    plugins: {
      guard: {
        'plugin.json': manifest('guard'),
        'plugin.ts': `
          export const PluginMain = (_config, host) => ({
            name: 'guard',
            handle: () => true,
            stop: () => host.log.info('stop runs'),
          })
        `,
      },
      off: { 'plugin.json': { ...manifest('off'), enabled: false }, 'plugin.ts': GOOD },
    },
  })
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  await logged(gateway, /^Plugin "guard" is stopped$/)
  const lines = logLines(gateway.stderr)
  assert.deepEqual(statesOf(lines, 'guard'), [
    'discovered',
    'verified',
    'built',
    'validated',
    'tried',
    'active',
    'draining',
    'stopped',
  ])
  assert.deepEqual(statesOf(lines, 'off'), ['discovered', 'verified', 'disabled'])
  const ends = lines.filter(({ plugin, message, state, process }) => {
    return plugin === 'guard' && process !== 'trial' && (message === 'stop runs' || state === 'stopped')
  })
  assert.deepEqual(
    ends.map(({ state }) => state),
    [undefined, undefined, 'stopped'],
  )
})

test('a supervisor that takes over knows which plugins are active', async (t) => {
  const gateway = await startGateway(t, {
    config: { workers: 1, routes: ROUTES, ...DEBUG },
    plugins: { guard: { 'plugin.json': manifest('guard'), 'plugin.ts': GOOD } },
  })
  const before = logLines(gateway.stderr).length
  await killProcesses(gateway.pids('cardea: supervisor'))
  await logged(gateway, /^Adopted generation 1$/)
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  await logged(gateway, /^Plugin "guard" is stopped$/)
  const after = logLines(gateway.stderr).slice(before)
  const states = statesOf(after, 'guard')
  assert.ok(states.includes('active'), 'what was read back serves')
  // The change that looks at the files again may be under way, with steps of its own.
  const ends = states.filter((state) => state === 'draining' || state === 'stopped')
  assert.deepEqual(ends, ['draining', 'stopped'])
})
