import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { get, problemOf } from './support/answers.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged, logLines } from './support/log-lines.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** A plugin that would end its process costs nobody but itself. */

const WORKER = 'cardea: worker'

/** By plugin name: what it runs for `/NAME?leave`. */
const HOOKS = {
  exits: 'process.exit(1)',
  'really-exits': 'process.reallyExit(1)',
  aborts: 'process.abort()',
  kills: "process.kill(process.pid, 'SIGKILL')",
  'kills-the-master': 'process.kill(process.ppid)',
  disconnects: 'process.disconnect()',
  imports: "require('node:process').exit(1)",
  waits: 'return Promise.resolve().then(() => process.exit(1)).then(() => true)',
}

const plugin = (name: string, code: string) => ({
  'plugin.json': { name, version: '1.0.0', scope: 'route', category: 'security' },
  'plugin.ts': `export const PluginMain = () => ({
  name: '${name}',
  handle({ request }) {
    if (request.query.has('leave')) { ${code} }
    return true
  },
})`,
})

/** `codes`: of each plugin. `instances`: a route for each, by the plugin that it is of; default: one for each plugin. */
function start(
  t: TestContext,
  codes: Readonly<Record<string, string>>,
  instances: Readonly<Record<string, string>> = {},
): Promise<TestGateway> {
  const respond = { status: 200, body: 'here' }
  const own = Object.fromEntries(Object.keys(codes).map((name) => [name, name]))
  return startGateway(t, {
    config: {
      workers: 1,
      log: { level: 'info', format: 'json' },
      routes: [
        { name: 'plain', path: '/plain', respond },
        ...Object.entries({ ...own, ...instances }).map(([name, of]) => {
          return { name, path: `/${name}`, respond, plugins: { [name]: name === of ? {} : { plugin: of } } }
        }),
      ],
    },
    plugins: Object.fromEntries(Object.entries(codes).map(([name, code]) => [name, plugin(name, code)])),
  })
}

async function ask(t: TestContext, gateway: TestGateway, target: string): Promise<string> {
  const connection = await TestConnection.open(t, gateway.port)
  await connection.write(get(target, 'Connection: close\r\n'))
  const response = await connection.response()
  return response.status === 200 ? response.text : problemOf(response).code
}

/** The worker hears of it after the log does. */
async function quarantined(t: TestContext, gateway: TestGateway, name: string): Promise<void> {
  const isQuarantined = async () => (await ask(t, gateway, `/${name}`)) === 'PLUGIN_QUARANTINED'
  await waitFor(isQuarantined, `${name} to be quarantined in the worker`)
}

test('what would end the process throws in a hook, ends nothing, and quarantines its plugin', async (t) => {
  const gateway = await start(t, HOOKS)
  for (const name of Object.keys(HOOKS)) {
    assert.equal(await ask(t, gateway, `/${name}?leave`), 'PLUGIN_EXIT', name)
    await logged(
      gateway,
      new RegExp(
        `^Plugin fault: "${name}" tried to end its worker and is quarantined until its code or config`,
      ),
    )
    await quarantined(t, gateway, name)
    assert.equal(await ask(t, gateway, '/plain'), 'here')
  }
  const lines = logLines(gateway.stderr).filter(({ code }) => code === 'PLUGIN_EXIT')
  const line = lines.find(({ message }) =>
    String(message).startsWith('Plugin "exits" tried to end its worker'),
  )
  assert.match(String(line?.stack), /plugins\/exits\/plugin\.ts:4:/)
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  assert.ok(!gateway.stderr.includes('Worker 1 ended'))
})

test('a timer of a plugin that wants to end the process quarantines it, and cuts no connection', async (t) => {
  const gateway = await start(t, { leaver: 'setInterval(() => process.exit(1), 1)' })
  const [worker = 0] = gateway.pids(WORKER)
  const bystander = await TestConnection.open(t, gateway.port)
  await bystander.write(get('/plain'))
  assert.equal((await bystander.response()).text, 'here')
  assert.equal(await ask(t, gateway, '/leaver?leave'), 'here')
  await logged(gateway, /^Plugin fault: "leaver" tried to end its worker and is quarantined/)
  await bystander.write(get('/plain'))
  assert.equal((await bystander.response()).text, 'here')
  await waitFor(() => !gateway.pids(WORKER).includes(worker), 'the worker to be replaced')
  assert.equal(await ask(t, gateway, '/leaver'), 'PLUGIN_QUARANTINED')
  assert.equal(logLines(gateway.stderr).filter(({ code }) => code === 'PLUGIN_EXIT').length, 1)
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
})

test('where nobody knows whose code wants to end the process, it goes on and nobody is to blame', async (t) => {
  const gateway = await start(t, { leaver: 'setTimeout(process.exit, 1)' })
  const workers = gateway.pids(WORKER)
  assert.equal(await ask(t, gateway, '/leaver?leave'), 'here')
  await logged(gateway, /^Nobody knows whose code wanted to end the worker$/)
  assert.equal(await ask(t, gateway, '/leaver'), 'here')
  assert.deepEqual(gateway.pids(WORKER), workers)
})

test('of several instances of one code the one whose hook wanted to end the process is to blame', async (t) => {
  const gateway = await start(t, { leaver: HOOKS.exits }, { other: 'leaver' })
  assert.equal(await ask(t, gateway, '/other?leave'), 'PLUGIN_EXIT')
  await logged(gateway, /^Plugin fault: "other" tried to end its worker and is quarantined/)
  await quarantined(t, gateway, 'other')
  assert.equal(await ask(t, gateway, '/leaver'), 'here')
})
