import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { runCommand, startCommand } from './support/cardea-command.ts'
import {
  descendantsOf,
  haveEnded,
  haveEndedWith,
  killProcesses,
  signalProcesses,
} from './support/processes.ts'
import { LAUNCHER } from './support/program.ts'
import { RecordingUpstream } from './support/recording-upstream.ts'
import { withTempDir } from './support/temp-dir.ts'

/** The launcher on a Node that cannot run the gateway itself, as far as this machine has one. */

const OLD_NODE = '/usr/bin/node'

function oldNode(t: TestContext): string | null {
  try {
    const major = Number.parseInt(execFileSync(OLD_NODE, ['--version'], { encoding: 'utf8' }).slice(1), 10)
    if (major >= 20 && major < 22) return OLD_NODE
  } catch {
    // There is none.
  }
  t.skip(`${OLD_NODE} is not Node 20 or 21`)
  return null
}

test('without a newer Node in reach the launcher says what it needs', async (t) => {
  const node = oldNode(t)
  if (node === null) return
  await using dir = await withTempDir()
  await mkdir(join(dir.path, 'bin'))
  const bin = join(dir.path, 'bin/cardea.mjs')
  await cp(LAUNCHER, bin)
  const { code, stderr } = await runCommand(t, ['--version'], { cwd: dir.path, node, bin })
  assert.equal(code, 1)
  assert.match(
    stderr,
    /^Cardea needs Node 24 or newer, this is v2\d\..*Install a newer Node, or run "npm install/,
  )
})

test('the launcher passes output and exit code of the newer Node on', async (t) => {
  const node = oldNode(t)
  if (node === null) return
  await using dir = await withTempDir()
  const options = { cwd: dir.path, node }
  assert.match((await runCommand(t, ['--version'], options)).stdout, /^\d+\.\d+\.\d+\n$/)
  const { code, stderr } = await runCommand(t, ['srve'], options)
  assert.equal(code, 1)
  assert.match(stderr, /Did you mean serve\?/)
})

test('the launcher forwards SIGTERM, and the gateway drains', async (t) => {
  const node = oldNode(t)
  if (node === null) return
  await using upstream = await RecordingUpstream.start()
  await using dir = await withTempDir()
  const command = startCommand(t, ['--to', upstream.url, '--port', '0'], { cwd: dir.path, node })
  const port = await command.readyPort()
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'ok')
  const processes = descendantsOf(command.pid)
  signalProcesses([command.pid], 'SIGTERM')
  assert.deepEqual(await command.exited, { code: 0, signal: null })
  await haveEndedWith(command.pid, processes)
})

test('a killed launcher takes the gateway with it', async (t) => {
  const node = oldNode(t)
  if (node === null) return
  await using upstream = await RecordingUpstream.start()
  await using dir = await withTempDir()
  const command = startCommand(t, ['--to', upstream.url, '--port', '0'], { cwd: dir.path, node })
  await command.readyPort()
  const children = descendantsOf(command.pid).map(({ pid }) => pid)
  await killProcesses([command.pid])
  await haveEnded(children)
})
