import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { after, test } from 'node:test'
import * as esbuild from 'esbuild'
import { withTempDir } from './support/temp-dir.ts'
import { failureOf, NOTHING, startTrialRunner, trialPids } from './support/trial.ts'

/** A trial touches nothing that is real, and plugins cannot tell until they come live. */

after(() => esbuild.stop())

const permissions = ['kv', 'sink']

test('a trial gives a plugin the services of the node, empty, and keeps nothing of what it does', async (t) => {
  await using dir = await withTempDir()
  const before = process.cwd()
  process.chdir(dir.path)
  t.after(() => process.chdir(before))
  const runner = startTrialRunner(t)
  const source = `export const PluginMain = async (_, host) => {
    if (await host.kv.get('visits') !== undefined) throw new Error('kv remembers')
    await host.kv.set('visits', { count: 1 })
    await host.kv.delete('others')
    const keys = await host.kv.list()
    if (!Array.isArray(keys)) throw new Error(String(keys))
    for (let count = 0; count < 5; count++) {
      if (!host.quota({ key: 'client', rate: 1, burst: 5 }).allowed) throw new Error('quota is not full: ' + count)
    }
    const sink = host.sink('audit.log')
    if (!sink.write('a line')) throw new Error('sink')
    host.sink('-').write('to stdout')
    host.once('report', () => process.exit(5))
    return ${NOTHING}
  }`
  const pids = new Set<number>()
  for (let count = 0; count < 3; count++) {
    await runner.try({ busy: { source, permissions } })
    for (const pid of trialPids()) pids.add(pid)
  }
  assert.equal(pids.size, 1)
  assert.deepEqual(runner.logged, [])
  assert.deepEqual(readdirSync(dir.path), [])
})

test('a trial refuses what a plugin has no permission for, as a worker does', async (t) => {
  const runner = startTrialRunner(t)
  const uses = [`host.kv.get('a')`, `host.sink('audit.log')`]
  for (const use of uses) {
    const source = `export const PluginMain = async (_, host) => { await ${use}; return ${NOTHING} }`
    const failure = await failureOf(runner, { bad: source })
    assert.equal(failure.code, 'PLUGIN_START_FAILED')
    assert.match(failure.message, /may not use host\.(kv|sink)/)
  }
})
