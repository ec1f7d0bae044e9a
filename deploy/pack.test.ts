import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { runCommand } from '../tests/support/cardea-command.ts'
import { startGateway } from '../tests/support/gateway.ts'
import { type TempDir, withTempDir } from '../tests/support/temp-dir.ts'
import { packGateway } from './pack.ts'

/** Packed once: all look at the same. */
let packed: TempDir
let tarball: string
before(async () => {
  packed = await withTempDir()
  tarball = await packGateway(packed.path)
})
after(() => packed[Symbol.asyncDispose]())

test('packGateway() packs the program with the built-in plugins where an installed one looks, and no tests', async () => {
  const { stdout } = await promisify(execFile)('tar', ['-tzf', tarball])
  const files = stdout.trim().split('\n')
  for (const file of [
    'package.json',
    'LICENSE',
    'README.md',
    'bin/cardea.js',
    'schemas/cardea.schema.json',
    'dist/main/worker.js',
    'dist/main/sdk-testing.js',
  ]) {
    assert.ok(files.includes(`package/${file}`), file)
  }
  const plugins = join(import.meta.dirname, '../plugins')
  for (const { name } of readdirSync(plugins, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )) {
    for (const file of ['plugin.json', 'plugin.ts', 'README.md']) {
      assert.ok(files.includes(`package/plugins/${name}/${file}`), `${name}/${file}`)
    }
  }
  assert.deepEqual(
    files.filter((file) => /\.test\.ts$|node_modules|\.cardea/.test(file)),
    [],
  )
})

test('what packGateway() packs runs where it is installed, with its built-in plugins', async (t) => {
  await using dir = await withTempDir()
  const program = await install(tarball, join(dir.path, 'node_modules'))
  const route = {
    name: 'all',
    path: '/*',
    respond: { status: 200, body: 'ok' },
    plugins: { cors: { config: { origins: ['https://app.example.com'] } } },
  }
  const gateway = await startGateway(t, { program, config: { workers: 1, routes: [route] } })
  const response = await fetch(gateway.url, { headers: { origin: 'https://app.example.com' } })
  assert.equal(await response.text(), 'ok')
  assert.equal(response.headers.get('access-control-allow-origin'), 'https://app.example.com')
})

test('what packGateway() packs makes a plugin and tests it, in a folder that knows no package', async (t) => {
  await using dir = await withTempDir()
  await using project = await withTempDir()
  const bin = await install(tarball, join(dir.path, 'node_modules'))
  const cardea = (...args: string[]) => runCommand(t, args, { bin, cwd: project.path })
  const made = await cardea('plugin', 'new', 'hello')
  assert.equal(made.code, 0, made.stdout + made.stderr)
  const tested = await cardea('plugin', 'test', 'hello')
  assert.equal(tested.code, 0, tested.stdout + tested.stderr)
  assert.match(tested.stdout, /^ℹ pass 2$/m)
  assert.equal(tested.stderr, '')
  await project.write({ 'plugins/hello/plugin.ts': "export const PluginMain = () => ({ name: 'hello' })" })
  const broken = await cardea('plugin', 'test', 'hello')
  assert.equal(broken.code, 1, broken.stdout + broken.stderr)
})

/** As npm does, with the packages that the workspace has; returns the program. */
async function install(tarball: string, modules: string): Promise<string> {
  const folder = join(modules, 'cardea')
  await mkdir(folder, { recursive: true })
  await promisify(execFile)('tar', ['-xzf', tarball, '--strip-components=1', '-C', folder])
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(import.meta.dirname, '../node_modules', name), join(modules, name))
  }
  return join(folder, 'bin', 'cardea.js')
}
