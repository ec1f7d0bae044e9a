import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { descendantsOf, haveEnded, isAlive, signalProcesses } from '../../../../tests/support/processes.ts'
import { withTempDir } from '../../../../tests/support/temp-dir.ts'
import { waitFor } from '../../../../tests/support/wait-for.ts'
import { SERVE_OPTIONS_DEFAULT } from '../protocol/master-supervisor.ts'
import { Master } from './master.ts'

const CONFIG = {
  listen: [{ host: '127.0.0.1', port: 0 }],
  workers: 1,
  log: { level: 'warn' },
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'ok' } }],
}

test('a supervisor that hangs is killed, and its successor takes changes', {
  skip: process.platform !== 'linux',
}, async () => {
  await using dir = await withTempDir()
  await dir.write({ 'cardea.yaml': CONFIG })
  const ready = Promise.withResolvers<number>()
  const master = new Master({
    serve: { ...SERVE_OPTIONS_DEFAULT, source: { kind: 'file', file: join(dir.path, 'cardea.yaml') } },
    // Long enough for one that works, on a machine that has other things to do.
    pulse: { periodMs: 500, missedMax: 10 },
    onReady: ([address]) => ready.resolve(address?.port ?? 0),
  })
  const ended = master.run()
  try {
    const failed = ended.then((code) => assert.fail(`The gateway ended with ${code}`))
    const url = `http://127.0.0.1:${await Promise.race([ready.promise, failed])}`
    const [hanging] = supervisors()
    assert.ok(hanging !== undefined)
    signalProcesses([hanging], 'SIGSTOP')
    await haveEnded([hanging])
    assert.equal(await (await fetch(url)).text(), 'ok', 'requests do not need it')
    const routes = [{ ...CONFIG.routes[0], respond: { status: 200, body: 'changed' } }]
    await dir.write({ 'cardea.yaml': { ...CONFIG, routes } })
    await waitFor(async () => (await (await fetch(url)).text()) === 'changed', 'the change')
    const [successor] = supervisors()
    assert.ok(successor !== undefined && successor !== hanging && isAlive(successor))
  } finally {
    await master.end(0)
  }
  assert.equal(await ended, 0)
})

function supervisors(): number[] {
  return descendantsOf(process.pid)
    .filter(({ command }) => command.includes('cardea: supervisor'))
    .map(({ pid }) => pid)
}
