import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import * as esbuild from 'esbuild'
import { descendantsOf } from './support/processes.ts'
import { failureOf, NOTHING, startTrialRunner, trialPids } from './support/trial.ts'
import { waitFor } from './support/wait-for.ts'

/** What a trial finds, and what becomes of its process, with real processes. */

after(() => esbuild.stop())

const GOOD = `export const PluginMain = () => ${NOTHING}`

test('TrialRunner.try() names instance, reason and line of what throws or rejects at its start', async (t) => {
  const runner = startTrialRunner(t)
  const cases: [string, RegExp, number][] = [
    ["throw new Error('top level')", /Cannot load plugin "bad": top level/, 1],
    [
      "\nexport const PluginMain = () => {\n  throw new Error('in main')\n}",
      /Cannot start plugin "bad": in main/,
      3,
    ],
    ["\nexport const PluginMain = async () => {\n  throw new Error('late')\n}", /: late/, 3],
    [
      `export const PluginMain = () => ({ ...${NOTHING}, \nvalidateConfig() { throw new Error('no config') } })`,
      /: no config/,
      2,
    ],
    [
      `export const PluginMain = () => ({ ...${NOTHING}, \n\nasync healthCheck() { throw new Error('ill') } })`,
      /: ill/,
      3,
    ],
  ]
  for (const [source, message, line] of cases) {
    const failure = await failureOf(runner, { good: GOOD, bad: source })
    assert.equal(failure.code, 'PLUGIN_START_FAILED')
    assert.equal(failure.plugin, 'bad')
    assert.match(failure.message, message)
    assert.match(failure.stack, new RegExp(`/srv/plugins/bad/plugin\\.ts:${line}:`))
  }
})

test('TrialRunner.try() names the instance, not the plugin, and refuses a missing export and what is no middleware', async (t) => {
  const runner = startTrialRunner(t)
  const noExport = { source: 'export const Main = 1', plugin: 'login' }
  const missing = await failureOf(runner, { 'strict-login': noExport })
  assert.equal(missing.code, 'PLUGIN_EXPORT_MISSING')
  assert.equal(missing.plugin, 'strict-login')
  assert.match(missing.message, /it exports Main/)
  const none = await failureOf(runner, {
    'strict-login': { source: 'export const PluginMain = () => 7', plugin: 'login' },
  })
  assert.equal(none.plugin, 'strict-login')
  assert.match(none.message, /returned number instead of a middleware/)
  const broken = await failureOf(runner, { 'strict-login': { source: 'throw 1', plugin: 'login' } })
  assert.equal(broken.plugin, 'strict-login')
})

test('TrialRunner.try() resolves for a plan without instances and starts no process for it', async (t) => {
  const runner = startTrialRunner(t)
  await runner.try({})
  assert.deepEqual(trialPids(), [])
})

test('TrialRunner.try() fails for a promise that a plugin lets reject, and for a throw in its timer', async (t) => {
  const runner = startTrialRunner(t)
  const rejection = await failureOf(runner, {
    good: GOOD,
    bad: `export const PluginMain = () => {
      Promise.reject(new Error('forgotten'))
      return ${NOTHING}
    }`,
  })
  assert.equal(rejection.code, 'PLUGIN_START_FAILED')
  assert.equal(rejection.plugin, 'bad')
  assert.match(rejection.message, /^Cannot start plugin "bad": A promise was rejected .*: forgotten$/)
  assert.match(rejection.stack, /\/srv\/plugins\/bad\/plugin\.ts:2:/)
  const exception = await failureOf(runner, {
    bad: `export const PluginMain = () => new Promise(() => {
      setTimeout(() => { throw new Error('too late to catch') }, 0)
    })`,
  })
  assert.equal(exception.plugin, 'bad')
  assert.match(exception.message, /An exception was not caught: too late to catch/)
})

test('TrialRunner.try() stops instances in reverse and passes although a stop fails', async (t) => {
  const runner = startTrialRunner(t)
  const order = (name: string) => `export const PluginMain = (_, host) => {
    const order = globalThis[Symbol.for('cardea.test.order')] ??= []
    order.push('start ${name}')
    return { name: '${name}', handle: () => true, stop() {
      order.push('stop ${name}')
      if (order.length === 6 && order.join() !== 'start a,start b,start c,stop c,stop b,stop a') process.exit(9)
      if (order.length === 6) throw new Error('harmless')
    } }
  }`
  await runner.try({ a: order('a'), b: order('b'), c: order('c') })
})

test('a trial that ended well leaves its process for the next, up to a number of trials', async (t) => {
  const trialsMax = 10
  const runner = startTrialRunner(t, { trialsMax })
  const pids = new Set<number>()
  for (let count = 1; count < trialsMax; count++) {
    await runner.try({ good: `const count = ${count}\n${GOOD}` })
    for (const pid of trialPids()) pids.add(pid)
  }
  assert.equal(pids.size, 1)
  await runner.try({ good: GOOD })
  const [old = 0] = pids
  await waitFor(() => !trialPids().includes(old) && trialPids().length === 1, 'the successor')
  await runner.try({ good: GOOD })
  assert.equal(trialPids().length, 1)
})

test('a process that has failed a trial is replaced in the background', async (t) => {
  const runner = startTrialRunner(t)
  runner.runner.warm()
  const [first = 0] = await waitFor(() => trialPids().length > 0 && trialPids(), 'the warm process')
  await failureOf(runner, { bad: 'throw new Error()' })
  assert.ok(!trialPids().includes(first), 'it is gone when the failure is known')
  await waitFor(() => trialPids().length === 1, 'its successor')
  await runner.try({ good: GOOD })
})

test('a process in which plugin code left something is not used again', async (t) => {
  const leftovers = {
    timer: 'setInterval(() => {}, 1_000)',
    server: "require('node:net').createServer().listen(0, '127.0.0.1')",
    child: "require('node:child_process').spawn('sleep', ['300'], { stdio: 'ignore' })",
    global: 'globalThis.cache = new Map()',
    listener: "process.on('beforeExit', () => {})",
    directory: "process.chdir('/')",
    variable: "process.env.TZ_OF_PLUGIN = 'secret value'",
  }
  for (const [name, code] of Object.entries(leftovers)) {
    const runner = startTrialRunner(t)
    await runner.try({ [name]: `export const PluginMain = () => { ${code}\n return ${NOTHING} }` })
    const line = await waitFor(
      () => runner.logged.find(({ fields }) => 'remains' in fields),
      `what ${name} left`,
    )
    assert.ok(!JSON.stringify(line).includes('secret value'))
    await runner.try({ good: GOOD })
    await runner.runner.close()
    assert.deepEqual(trialPids(), [], name)
    assert.deepEqual(
      descendantsOf(process.pid).filter(({ command }) => command.startsWith('sleep')),
      [],
      name,
    )
  }
})

test('a plugin that only uses its host and stops what it starts leaves its process fit', async (t) => {
  const runner = startTrialRunner(t)
  const source = `export const PluginMain = (config, host) => {
    host.setInterval(() => {}, 10)
    const timer = setInterval(() => {}, 10)
    host.signal.addEventListener('abort', () => {})
    host.log.info('hello')
    return { name: 'tidy', handle: () => true, stop: () => clearInterval(timer) }
  }`
  const pids = new Set<number>()
  for (let count = 0; count < 5; count++) {
    await runner.try({ tidy: source })
    for (const pid of trialPids()) pids.add(pid)
  }
  assert.equal(pids.size, 1)
  assert.deepEqual(runner.logged, [])
})

test('a plugin may fetch what it was granted, and leaves its process fit', async (t) => {
  const server = createServer((_, response) => response.end('well')).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const runner = startTrialRunner(t)
  const source = `export const PluginMain = (_, host) => ({ ...${NOTHING}, async healthCheck() {
    const response = await host.fetch('http://127.0.0.1:${port}/health')
    if (await response.text() !== 'well') throw new Error('ill')
  } })`
  const pids = new Set<number>()
  for (let count = 0; count < 3; count++) {
    await runner.try({ healthy: { source, permissions: [`net:127.0.0.1:${port}`] } })
    for (const pid of trialPids()) pids.add(pid)
  }
  assert.equal(pids.size, 1)
  assert.deepEqual(runner.logged, [])
  assert.equal((await failureOf(runner, { healthy: source })).code, 'PLUGIN_START_FAILED')
})

test('what plugin code throws after its trial does not fail the next one', async (t) => {
  const runner = startTrialRunner(t)
  // Unseen by what looks for leftovers: its timer does not keep the process alive.
  const late = (code: string) => `export const PluginMain = () => {
    const timer = setInterval(() => {
      if (globalThis[Symbol.for('cardea.test.now')] !== true) return
      clearInterval(timer)
      ${code}
    }, 5).unref()
    return ${NOTHING}
  }`
  const victim = `export const PluginMain = async () => {
    globalThis[Symbol.for('cardea.test.now')] = true
    await new Promise((resolve) => setTimeout(resolve, 100))
    delete globalThis[Symbol.for('cardea.test.now')]
    return ${NOTHING}
  }`
  const misdeeds = ["throw new Error('late')", "Promise.reject('late')", 'process.exit(3)', 'for (;;);']
  for (const code of misdeeds) {
    await runner.try({ late: late(code) })
    await runner.try({ victim })
  }
  const repeated = runner.logged.filter(({ message }) => message.includes('repeated in a new process'))
  assert.equal(repeated.length, misdeeds.length)
})

test('a process in which something is thrown between trials is not used again', async (t) => {
  const runner = startTrialRunner(t)
  const source = `export const PluginMain = () => {
    setTimeout(() => Promise.reject(new Error('late')), 200).unref()
    return ${NOTHING}
  }`
  await runner.try({ late: source })
  await waitFor(
    () => runner.logged.find(({ message }) => /^After its trial: .*: late$/.test(message)),
    'the log line',
  )
  await runner.try({ good: GOOD })
})

test('calls of TrialRunner.try() at one time take turns in one process', async (t) => {
  const runner = startTrialRunner(t)
  const source = (name: string) => `export const PluginMain = async () => {
    const key = Symbol.for('cardea.test.busy')
    if (globalThis[key] === true) throw new Error('not alone')
    globalThis[key] = true
    await new Promise((resolve) => setTimeout(resolve, 20))
    delete globalThis[key]
    return { name: '${name}', handle: () => true }
  }`
  const names = ['a', 'b', 'c', 'd']
  const outcomes = await Promise.allSettled([
    ...names.map((name) => runner.try({ [name]: source(name) })),
    runner.try({ bad: 'throw 1' }),
    runner.try({ e: source('e') }),
  ])
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
})

test('100 trials in a row have one process, and what the plugins held is freed', async (t) => {
  const runner = startTrialRunner(t, { trialsMax: 1_000 })
  const pids = new Set<number>()
  for (let count = 0; count < 100; count++) {
    // All of them together are more than the growth by which a process is replaced.
    const held = `const held = new Uint8Array(${2 ** 21}).fill(${count})`
    await runner.try({ large: `${held}\nexport const PluginMain = () => ({ ...${NOTHING}, held })` })
    for (const pid of trialPids()) pids.add(pid)
  }
  assert.equal(pids.size, 1)
})
