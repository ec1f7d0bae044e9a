import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Stage } from './recovery/stage.ts'
import { runCommand } from './support/cardea-command.ts'
import { startGateway } from './support/gateway.ts'
import { sayings } from './support/log-lines.ts'
import { killProcesses, signalProcesses } from './support/processes.ts'
import { waitFor } from './support/wait-for.ts'

/** A change that hangs does not keep what is saved or asked for next waiting. The deadline of its start would be far away. */

const timeout = 200_000

for (const place of ['trial', 'worker-1'] as const) {
  test(`a save takes the place of one that hangs at its start in ${place}`, { timeout }, async (t) => {
    const stage = await Stage.start(t)
    const said = stage.listen()
    await stage.save('start', [place])
    await stage.reached('start', 1)
    const hanging = stage.version
    await stage.save()
    await stage.agrees()
    await said(/A change that took long has given way to what was saved since/)
    assert.doesNotMatch(stage.gateway.stderr, /The change failed/)
    // And nothing of it is left that the next change could trip over.
    await stage.plugin.release(hanging, 'start')
    await stage.save()
    await stage.agrees()
    assert.deepEqual(stage.faults, [])
  })
}

/** Version 2 serves, and what was saved since hangs at its start in the trial. */
async function hangingInTrial(t: TestContext): Promise<Stage> {
  const stage = await Stage.start(t)
  await stage.save()
  await stage.agrees()
  await stage.save('start', ['trial'])
  await stage.reached('start', 1)
  return stage
}

test('a rollback takes the place of a save that hangs at its start, which is held back then', {
  timeout,
}, async (t) => {
  const stage = await hangingInTrial(t)
  const said = stage.listen()
  const back = await runCommand(t, ['rollback'], { cwd: stage.gateway.dir.path })
  assert.equal(back.code, 0, back.stderr)
  await said(/A change that took long has given way to what was asked for since/)
  await stage.agrees(1)
  assert.doesNotMatch(stage.gateway.stderr, /The change failed/)
  await stage.save()
  await stage.agrees()
  assert.deepEqual(stage.faults, [])
})

/** A plugin that answers the text. */
const answering = (text: string) =>
  `export const PluginMain = () => ({ name: 'hello', handle: (ctx) => ctx.response.json('${text}') })`

test('a rollback takes the place of a save whose build hangs, and the next save is built', {
  timeout,
}, async (t) => {
  const gateway = await startGateway(t, {
    config: {
      workers: 1,
      log: { level: 'debug', format: 'json' },
      routes: [{ name: 'all', path: '/*', respond: { status: 404 } }],
    },
    plugins: {
      hello: { 'plugin.json': { name: 'hello', version: '1.0.0' }, 'plugin.ts': answering('one') },
    },
  })
  const save = (text: string) => gateway.dir.write({ 'plugins/hello/plugin.ts': answering(text) })
  const isServed = (text: string) =>
    waitFor(
      async () => (await (await fetch(gateway.url, { headers: { connection: 'close' } })).json()) === text,
      `the answer ${text}`,
    )
  await save('two')
  await isServed('two')
  const builders = gateway.pids('esbuild')
  assert.equal(builders.length, 1)
  signalProcesses(builders, 'SIGSTOP')
  t.after(() => killProcesses(builders))
  const said = sayings(gateway)
  await save('three')
  // What comes next is the build.
  await said(/Plugin \\"hello\\" is verified/)
  const back = await runCommand(t, ['rollback'], { cwd: gateway.dir.path })
  assert.equal(back.code, 0, back.stderr)
  // Else it had waited until a build that hangs is made again elsewhere.
  assert.deepEqual(gateway.pids('esbuild'), builders)
  await said(/A change that took long has given way to what was asked for since/)
  await isServed('one')
  await save('four')
  await isServed('four')
  assert.doesNotMatch(gateway.stderr, /The change failed/)
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null }, 'the end waits for no esbuild that hangs')
})

for (const what of ['saved', 'asked for'] as const) {
  test(`what a supervisor that was started anew hangs at gives way to what is ${what} since`, {
    timeout,
  }, async (t) => {
    const stage = await hangingInTrial(t)
    const hanging = stage.version
    const said = stage.listen()
    await stage.kill('supervisor')
    await stage.plugin.forget(hanging, 'start')
    await stage.reached('start', 1)
    if (what === 'saved') await stage.save()
    else {
      const back = await runCommand(t, ['rollback'], { cwd: stage.gateway.dir.path })
      assert.equal(back.code, 0, back.stderr)
    }
    await said(new RegExp(`A change that took long has given way to what was ${what} since`))
    await stage.agrees(what === 'saved' ? stage.version : 1)
    assert.doesNotMatch(stage.gateway.stderr, /The change failed/)
    await stage.plugin.release(hanging, 'start')
    assert.deepEqual(stage.faults, [])
  })
}
