import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startCommand } from './support/cardea-command.ts'
import { withTempDir } from './support/temp-dir.ts'
import { waitFor } from './support/wait-for.ts'

/** What a person reads when a plugin fails at run time: in the live view, and in the log for terminals. */

const CONFIG = {
  listen: [{ host: '127.0.0.1', port: 0 }],
  workers: 1,
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body: 'here' } }],
}

const SOURCE = `interface Ask { path: string }
const fail = (why: string): never => {
  throw new Error(why)
}
export const PluginMain = () => ({
  name: 'shaky',
  handle(ctx) {
    const ask: Ask = ctx.request
    ctx.log.info('asked for', { where: ask.path })
    if (ask.path === '/throw') fail('thrown')
    if (ask.path === '/late') setTimeout(() => fail('thrown late'), 1)
    if (ask.path === '/spin') for (;;);
    return true
  },
})
`

const files = (config: object = {}) => ({
  'cardea.yaml': { ...CONFIG, ...config },
  'plugins/shaky/plugin.json': { name: 'shaky', version: '1.0.0' },
  'plugins/shaky/plugin.ts': SOURCE,
})

test('dev shows a failing hook in one block with its line, and the lines that plugins log', async (t) => {
  await using dir = await withTempDir()
  await dir.write(files())
  const dev = startCommand(t, ['dev'], { cwd: dir.path })
  const url = `http://127.0.0.1:${await dev.readyPort()}`
  assert.equal((await fetch(`${url}/throw`)).status, 503)
  const block =
    /^shaky failed in worker 1: HOOK_THREW handle of plugin "shaky" failed: thrown\n {6}3 \| {3}throw new Error\(why\)\n {8}\| {9}\^\n {4}at fail \(.*plugins\/shaky\/plugin\.ts:3:9\)\n {4}at \S*handle \(.*plugins\/shaky\/plugin\.ts:10:32\)\n(?! {4}at )/m
  await waitFor(() => block.test(dev.stdout), 'the failure')
  await waitFor(() => / INFO: \[worker 1\] asked for\n {4}where: "\/throw"/.test(dev.stderr), 'its line')
  assert.doesNotMatch(dev.stderr, /failed|Ready|is live/)
})

for (const [path, headline] of [
  ['late', 'shaky threw in worker 1, where nobody catches it: thrown late'],
  [
    'spin',
    String.raw`shaky blocked worker 1 for [\d,]+ ms in \S*handle \(.*plugins\/shaky\/plugin\.ts:12:\d+\) and was ended`,
  ],
] as const) {
  test(`dev shows the line of a plugin that harms its worker (/${path})`, async (t) => {
    await using dir = await withTempDir()
    await dir.write(files())
    const dev = startCommand(t, ['dev'], { cwd: dir.path })
    const url = `http://127.0.0.1:${await dev.readyPort()}`
    await fetch(`${url}/${path}`)
    const block = new RegExp(String.raw`^${headline}\n {6,7}\d+ \| .*\n {8,9}\| +\^\n`, 'm')
    await waitFor(() => block.test(dev.stdout), `${block} in ${dev.stdout}`)
    await waitFor(() => /is quarantined until its code or config changes$/m.test(dev.stdout), 'what follows')
    assert.doesNotMatch(dev.stderr, /ERROR/)
  })
}

test('the log for terminals has stacks and code frames on lines of their own', async (t) => {
  await using dir = await withTempDir()
  await dir.write(files({ log: { format: 'pretty' } }))
  const gateway = startCommand(t, ['serve'], { cwd: dir.path })
  await fetch(`http://127.0.0.1:${await gateway.readyPort()}/throw`)
  const entry = await waitFor(
    () => /ERROR: \[worker 1\] handle failed\n(?: {4}.*\n)+/.exec(gateway.stderr)?.[0],
    'the failure',
  )
  assert.match(entry, /\n {4}stack:\s*\n\s+Error: thrown\n\s+at fail \(.*plugin\.ts:3:9\)\n/)
  assert.match(entry, /\n {4}frame:\s*\n\s+3 \| {3}throw new Error\(why\)\n\s+\| {9}\^\n/)
})
