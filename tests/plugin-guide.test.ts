import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type GuideStep, stepsOf } from './built-ins/guide.ts'
import { commandsOf, withPorts } from './built-ins/readme.ts'
import { runUntilTrue, startEchoUpstream } from './built-ins/run-commands.ts'
import { startGateway } from './support/gateway.ts'
import { requireProgram } from './support/programs.ts'

const ROOT = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

const ENGLISH = stepsOf(read('docs/guides/write-a-plugin.md'))

test('docs/guides/write-a-plugin.md does what it says, step by step, in one gateway', async (t) => {
  if (requireProgram(t, 'curl') === null) return
  const upstreamPort = await startEchoUpstream(t)
  const first = ENGLISH.findIndex(({ kind }) => kind === 'commands')
  const before = Object.fromEntries(ENGLISH.slice(0, first).map(fileOf))
  const listening = (text: string, port: number): string => withPorts(text, port, upstreamPort)
  const gateway = await startGateway(t, {
    config: listening(before['cardea.yaml'] ?? '', 0),
    plugins: {
      hello: {
        'plugin.json': before['plugins/hello/plugin.json'] ?? '',
        'plugin.ts': before['plugins/hello/plugin.ts'] ?? '',
      },
    },
    args: ['--strict'],
  })
  await symlink(join(ROOT, 'node_modules'), join(gateway.dir.path, 'node_modules'))
  for (const step of ENGLISH.slice(first)) {
    if (step.kind === 'commands') {
      for (const command of commandsOf(step.text)) {
        const line = listening(command.line, gateway.port)
        // What was saved a moment ago may not be live yet.
        await runUntilTrue(gateway.dir.path, { ...command, line }, true)
      }
    } else {
      const [path, text] = fileOf(step)
      await gateway.dir.write({ [path]: listening(text, 0) })
    }
  }
})

test('docs/zh/guides/write-a-plugin.md has the same code', () => {
  assert.deepEqual(stepsOf(read('docs/zh/guides/write-a-plugin.md')), ENGLISH)
})

test('stepsOf() refuses a block that nothing would run', () => {
  assert.throws(() => stepsOf(['text', '', '```ts', 'x()', '```', ''].join('\n')), /names no file/)
})

function fileOf(step: GuideStep): [path: string, text: string] {
  assert.equal(step.kind, 'file')
  return step.kind === 'file' ? [step.path, step.text] : ['', '']
}
