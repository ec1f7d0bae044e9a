import assert from 'node:assert/strict'
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { isAlive } from './processes.ts'
import { withTempDir } from './temp-dir.ts'
import { findTestFiles, missingPrograms, nothingToRun } from './test-run.ts'

/** Runs one test file through `runTests` in a process of its own, as tests/run.ts does. */
async function runOne(source: string): Promise<SpawnSyncReturns<string>> {
  await using dir = await withTempDir()
  await dir.write({ 'tests/one.test.ts': `import { test } from 'node:test'\n${source}` })
  const module = pathToFileURL(join(import.meta.dirname, 'test-run.ts')).href
  const script = `
    const { runTests } = await import(${JSON.stringify(module)})
    process.exitCode = await runTests(${JSON.stringify(dir.path)}, ['tests/one.test.ts'])`
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' })
}

test('runTests() fails when a test fails, and ends with the summary of node:test', async () => {
  const { status, stdout } = await runOne(
    `test('fine', () => {}); test('bad', () => { throw new Error('no') })`,
  )
  assert.equal(status, 1)
  assert.match(stdout, /tests 2\n.*pass 1\n.*fail 1\n/s)
})

test('runTests() fails when a test leaves a process behind, and kills it', async () => {
  const { status, stdout, stderr } = await runOne(`
    import { spawn } from 'node:child_process'
    test('fine', () => spawn('sleep', ['321'], { detached: true, stdio: 'ignore' }).unref())`)
  assert.match(stdout, /pass 1\n.*fail 0\n/s)
  assert.equal(status, 1)
  const pid = Number(/^Left running and killed: (\d+) sleep 321$/m.exec(stderr)?.[1])
  assert.ok(pid > 0 && !isAlive(pid))
})

test('runTests() fails a file that leaves a server open, and names it', async () => {
  const { status, stdout } = await runOne(`
    import { createServer } from 'node:net'
    test('fine', () => { createServer().listen(0) })`)
  assert.equal(status, 1)
  assert.match(stdout, /Still open 5000 ms after the last test: TCPServerWrap/)
})

test('runTests() passes, with no inspector on a signal in each test file', async () => {
  const { status, stdout, stderr } = await runOne(`
    import assert from 'node:assert/strict'
    test('fine', () => assert.ok(process.execArgv.includes('--disable-sigusr1')))`)
  assert.equal(status, 0, stdout + stderr)
  assert.match(stdout, /tests 1\n.*pass 1\n.*fail 0\n.*duration_ms [\d.]+\s*$/s)
})

test('findTestFiles() passes over installed, built and fixture files', async () => {
  await using dir = await withTempDir()
  const kept = [
    'bench/b.test.ts',
    'packages/x/src/a.test.ts',
    'packages/x/src/b.test.ts',
    'plugins/p/plugin.test.ts',
    'tests/deep/er/c.test.ts',
  ]
  const passedOver = [
    'packages/x/node_modules/y/a.test.ts',
    'packages/x/dist/a.test.ts',
    'tests/fixtures/a.test.ts',
    'docs/a.test.ts',
    'packages/x/src/a.ts',
    'packages/x/src/a.test.js',
  ]
  await dir.write(Object.fromEntries([...kept, ...passedOver].map((file) => [file, ''])))
  assert.deepEqual(findTestFiles(dir.path), kept)
  assert.deepEqual(findTestFiles(dir.path, ['deep', 'plugins/']), [
    'plugins/p/plugin.test.ts',
    'tests/deep/er/c.test.ts',
  ])
})

test('nothingToRun() says which words match no file', async () => {
  await using dir = await withTempDir()
  await dir.write({ 'tests/a.test.ts': '' })
  assert.equal(nothingToRun(dir.path, ['a.test']), null)
  assert.equal(
    nothingToRun(dir.path, ['x', 'y']),
    'No test file has "x" or "y" in its path; `npm test` alone runs all.',
  )
})

test('missingPrograms() says once what is declared and not there', async () => {
  await using dir = await withTempDir()
  const text = ['wrk', 'nginx'].map((name) => `${'require'}Program(t, '${name}')`).join('\n')
  await dir.write({ 'tests/a.test.ts': text, 'tests/b.test.ts': text })
  const files = ['tests/a.test.ts', 'tests/b.test.ts']
  assert.deepEqual(
    missingPrograms(dir.path, files, (program) => (program === 'nginx' ? '/nginx' : null)),
    ['wrk is missing (the load generator of the benchmark): apt-get install wrk'],
  )
})
