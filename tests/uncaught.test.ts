import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { get, problemOf } from './support/answers.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { logged, logLines } from './support/log-lines.ts'
import { killProcesses } from './support/processes.ts'
import { withTempDir } from './support/temp-dir.ts'
import { TestConnection } from './support/test-connection.ts'
import { waitFor } from './support/wait-for.ts'

/** A plugin that throws where no hook of its runs costs nobody but itself. */

const WORKER = 'cardea: worker'

/** Throws as its config says: for a request with `?throw`, or as soon as a worker starts it. */
const THROWER = {
  'plugin.json': {
    name: 'thrower',
    version: '1.0.0',
    scope: 'route',
    category: 'security',
    config: { when: '' },
  },
  'plugin.ts': `import { EventEmitter } from 'node:events'
import { existsSync } from 'node:fs'

const ways = {
  timer: () => setInterval(() => { throw new Error('from a timer') }, 1),
  emitter: () => setImmediate(() => new EventEmitter().emit('error', new Error('from an emitter'))),
}

export async function PluginMain({ when }) {
  if (when === 'start' && process.title.startsWith('cardea: worker') && existsSync(process.env.THROWER_FLAG)) {
    ways.timer()
    // What the timer throws comes before its start is over.
    await new Promise(() => {})
  }
  return {
    name: 'thrower',
    handle({ request }) {
      ways[request.query.get('throw')]?.()
      return true
    },
  }
}`,
}

function start(
  t: TestContext,
  when: string,
  env: Readonly<Record<string, string>> = {},
): Promise<TestGateway> {
  const respond = { status: 200, body: 'here' }
  return startGateway(t, {
    config: {
      workers: 1,
      routes: [
        { name: 'plain', path: '/plain', respond },
        { name: 'guarded', path: '/guarded', respond, plugins: { thrower: { config: { when } } } },
      ],
    },
    plugins: { thrower: THROWER },
    env,
  })
}

async function ask(connection: TestConnection, target: string): Promise<string> {
  await connection.write(get(target))
  const response = await connection.response()
  return response.status === 200 ? response.text : problemOf(response).code
}

for (const way of ['timer', 'emitter']) {
  test(`what a plugin's own ${way} throws cuts no connection, and quarantines the plugin`, async (t) => {
    const gateway = await start(t, 'asked')
    const [worker] = gateway.pids(WORKER)
    const bystander = await TestConnection.open(t, gateway.port)
    assert.equal(await ask(bystander, '/plain'), 'here')
    const connection = await TestConnection.open(t, gateway.port)
    assert.equal(await ask(connection, `/guarded?throw=${way}`), 'here')
    await logged(gateway, /^Plugin fault: "thrower" threw where nobody catches it and is quarantined/)
    const line = logLines(gateway.stderr).find(({ code }) => code === 'PLUGIN_UNCAUGHT')
    assert.equal(
      line?.message,
      `Plugin "thrower" threw where nobody catches it: from ${way === 'timer' ? 'a timer' : 'an emitter'}`,
    )
    assert.match(String(line?.stack), /plugins\/thrower\/plugin\.ts:[56]:/)
    assert.equal(await ask(bystander, '/plain'), 'here')
    assert.equal(await ask(connection, '/guarded'), 'PLUGIN_QUARANTINED')
    await waitFor(
      () => gateway.pids(WORKER).length === 1 && !gateway.pids(WORKER).includes(worker ?? 0),
      'a new worker',
    )
    const later = await TestConnection.open(t, gateway.port)
    assert.equal(await ask(later, '/guarded'), 'PLUGIN_QUARANTINED')
    assert.equal(await ask(later, '/plain'), 'here')
    // However often it throws until the process ends.
    await logged(gateway, /^The replaced worker has ended$/)
    assert.equal(logLines(gateway.stderr).filter(({ code }) => code === 'PLUGIN_UNCAUGHT').length, 1)
    assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
  })
}

test('a plugin that throws as soon as a worker has started it does not kill one worker after the other', async (t) => {
  await using dir = await withTempDir()
  const gateway = await start(t, 'start', { THROWER_FLAG: join(dir.path, 'flag') })
  await dir.write({ flag: '' })
  await killProcesses(gateway.pids(WORKER))
  await logged(gateway, /^Plugin fault: "thrower" threw where nobody catches it and is quarantined/)
  const connection = await TestConnection.open(t, gateway.port)
  assert.equal(await ask(connection, '/guarded'), 'PLUGIN_QUARANTINED')
  assert.equal(await ask(connection, '/plain'), 'here')
})

test('a change to a plugin that throws while a worker starts it fails, and names it', async (t) => {
  await using dir = await withTempDir()
  await dir.write({ flag: '' })
  const gateway = await start(t, 'asked', { THROWER_FLAG: join(dir.path, 'flag') })
  const changed = THROWER['plugin.ts'].replace("when === 'start'", 'true')
  await gateway.dir.write({ 'plugins/thrower/plugin.ts': changed })
  await logged(gateway, /^The change failed at stage.*\n?.*threw where nobody catches it: from a timer/s)
  await logged(gateway, /^The replaced worker has ended$/)
  const connection = await TestConnection.open(t, gateway.port)
  assert.equal(await ask(connection, '/guarded'), 'here')
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
})
