import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { builtProgram } from './bundle.js'

const folder = dirname(builtProgram())
const isScript = (name: string): boolean => name.endsWith('.js')
const files = readdirSync(folder).filter(isScript)

function textOf(name: string): string {
  return readFileSync(join(folder, name), 'utf8')
}

/** The texts of all that Node loads before it runs a file. */
function loadedWith(name: string, seen: Set<string> = new Set()): string[] {
  if (seen.has(name)) return []
  seen.add(name)
  const text = textOf(name)
  const imported = [...text.matchAll(/^(?:import|.*\} from) "\.\/(part-\w+\.js)";$/gm)]
  return [text, ...imported.flatMap(([, part = '']) => loadedWith(part, seen))]
}

/** How many of the texts have this source in them; esbuild says where it took each from. */
function holding(texts: readonly string[], file: string | RegExp): number {
  const place = new RegExp(`^// ${typeof file === 'string' ? RegExp.escape(file) : file.source}$`, 'm')
  return texts.filter((text) => place.test(text)).length
}

const COMPILED_SCHEMAS = /node_modules\/\.cache\/own-schemas-\w+\.js/

test('the built program has its schemas compiled, and nothing of what made them', () => {
  const texts = files.map(textOf)
  assert.ok(holding(texts, COMPILED_SCHEMAS) >= 1)
  for (const file of ['own-schemas', 'schema', 'schema-route', 'standalone']) {
    assert.equal(holding(texts, `src/config/${file}.ts`), 0, file)
  }
})

test('a command loads of the gateway what it needs, and no master, log or schemas with it', () => {
  const texts = loadedWith('cli.js')
  assert.equal(holding(texts, 'src/cli/program.ts'), 1)
  for (const file of ['src/main/master.ts', 'src/observe/log.ts', 'src/cli/control-client.ts']) {
    assert.equal(holding(texts, file), 0, file)
    assert.ok(holding(files.map(textOf), file) > 0, file)
  }
  assert.equal(holding(texts, COMPILED_SCHEMAS), 0)
})

test('a build does not differ by who makes it', () => {
  const out = mkdtempSync(join(dirname(dirname(folder)), 'dist-'))
  try {
    const module = JSON.stringify(join(import.meta.dirname, 'bundle.js'))
    const script = `import { bundle } from ${module}; bundle(${JSON.stringify(out)})`
    execFileSync(process.execPath, ['--input-type=module', '-e', script])
    const made = join(out, 'main')
    assert.deepEqual(readdirSync(made).filter(isScript), files)
    for (const name of files) assert.equal(readFileSync(join(made, name), 'utf8'), textOf(name), name)
  } finally {
    rmSync(out, { recursive: true })
  }
})

test('a worker and a trial load one file', () => {
  for (const name of ['worker.js', 'trial.js', 'trial-watch.js', 'watchdog-thread.js']) {
    assert.equal(loadedWith(name).length, 1, name)
  }
})
