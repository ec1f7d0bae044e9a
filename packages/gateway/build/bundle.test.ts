import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { type TempDir, withTempDir } from '../../../tests/support/temp-dir.ts'
import { builtProgram, ENTRIES } from './bundle.js'

const run = promisify(execFile)
const DAY_SECONDS = 24 * 3600

/** A working tree with the least that a build needs; returns its gateway's folder. */
async function writeTree(dir: TempDir): Promise<string> {
  const entries = ENTRIES.map((entry) => [`packages/gateway/src/main/${entry}.ts`, "import '../shared.ts'\n"])
  await dir.write({
    ...Object.fromEntries(entries),
    'packages/gateway/src/shared.ts': says('one'),
    'packages/gateway/src/config/standalone.ts': "export const standaloneSchemas = () => 'export {}'\n",
    'packages/gateway/src/shared.test.ts': 'not even TypeScript (',
    'packages/sdk/src/index.ts': 'export {}\n',
    'packages/sdk/src/testing/index.ts': 'export {}\n',
    'package-lock.json': {},
  })
  return join(dir.path, 'packages/gateway')
}

function says(word: string): string {
  return `const word: string = '${word}'\nprocess.stdout.write(word)\n`
}

async function printed(program: string): Promise<string> {
  return (await run(process.execPath, [program])).stdout
}

/** For a process of its own, which writes the program's path. */
function askingFor(folder: string): string {
  const module = JSON.stringify(join(import.meta.dirname, 'bundle.js'))
  return `import { builtProgram } from ${module}; console.log(builtProgram(${JSON.stringify(folder)}))`
}

function builds(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('dist-'))
}

test('builtProgram() throws for sources that cannot be read, and leaves nothing behind', async () => {
  await using dir = await withTempDir()
  const folder = await writeTree(dir)
  await dir.write({ 'packages/gateway/src/shared.ts': 'const = 1\n' })
  assert.throws(() => builtProgram(folder), /shared\.ts/)
  assert.deepEqual(builds(folder), [])
  assert.equal(process.env.ESBUILD_WORKER_THREADS, undefined)
})

test('builtProgram() makes what the sources say now, and makes it once', async () => {
  await using dir = await withTempDir()
  const folder = await writeTree(dir)
  const first = builtProgram(folder)
  assert.equal(await printed(first), 'one')
  const { ino, mtimeMs } = statSync(first)
  await dir.write({ 'packages/gateway/src/shared.test.ts': 'changed, and of no account' })
  assert.equal(builtProgram(folder), first)
  assert.deepEqual([statSync(first).ino, statSync(first).mtimeMs], [ino, mtimeMs])
  for (const [file, text] of [
    ['packages/gateway/src/shared.ts', says('another')],
    ['packages/sdk/src/index.ts', 'export const changed = true\n'],
    ['package-lock.json', '{ "changed": true }'],
  ] as const) {
    const before = builtProgram(folder)
    await dir.write({ [file]: text })
    assert.notEqual(builtProgram(folder), before, file)
  }
  assert.equal(await printed(builtProgram(folder)), 'another')
  assert.equal(await printed(first), 'one', 'what a gateway still runs from stays')
})

test('builtProgram() removes builds that are older than a week, and nothing else', async () => {
  await using dir = await withTempDir()
  const folder = await writeTree(dir)
  const now = Date.now() / 1000
  for (const [name, days] of [
    ['dist-old', 8],
    ['dist-young', 6],
    ['distant', 8],
  ] as const) {
    mkdirSync(join(folder, name))
    utimesSync(join(folder, name), now - days * DAY_SECONDS, now - days * DAY_SECONDS)
  }
  builtProgram(folder)
  const left = readdirSync(folder).filter((name) => !/^dist-[0-9a-f]{16}$/.test(name))
  assert.deepEqual(left.sort(), ['dist-young', 'distant', 'node_modules', 'src'])
})

test('builtProgram() leaves no process of the compiler behind, which a gateway would have as a zombie', async () => {
  await using dir = await withTempDir()
  const folder = await writeTree(dir)
  const script = `${askingFor(folder)}; const { readdirSync, readFileSync } = await import('node:fs')
    for (const task of readdirSync('/proc/self/task')) console.log(readFileSync('/proc/self/task/' + task + '/children', 'utf8'))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script])
  const [program, ...children] = stdout.split('\n').filter((line) => line.trim() !== '')
  assert.match(program ?? '', /cli\.js$/)
  assert.deepEqual(children, [])
})

test('builtProgram() can be asked by several processes at one time', async () => {
  await using dir = await withTempDir()
  const folder = await writeTree(dir)
  const script = askingFor(folder)
  const asked = Array.from({ length: 3 }, () => run(process.execPath, ['--input-type=module', '-e', script]))
  const programs = new Set((await Promise.all(asked)).map(({ stdout }) => stdout.trim()))
  assert.equal(programs.size, 1)
  assert.equal(builds(folder).length, 1)
  const [program = ''] = programs
  assert.equal(await printed(program), 'one')
})
