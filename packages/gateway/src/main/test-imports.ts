import { realpathSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { extname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { LeftOpen } from './left-open.ts'

/**
 * Loaded before the tests of a plugin: leads what they import of the SDK to that of the gateway which runs them, wherever
 * it is installed. A plugin's folder needs no node_modules for that, and is tried by what it will run in.
 *
 * `build/bundle.js` makes one file of each beside this one; where the sources run they are found as everywhere.
 */

const IS_SOURCE = extname(import.meta.filename) === '.ts'

const OWN: Readonly<Record<string, string>> = {
  '@cardea/sdk': IS_SOURCE ? import.meta.resolve('@cardea/sdk') : neighbour('sdk.js'),
  '@cardea/sdk/testing': IS_SOURCE ? import.meta.resolve('@cardea/sdk/testing') : neighbour('sdk-testing.js'),
}

registerHooks({
  resolve(specifier, context, nextResolve) {
    const url = Object.hasOwn(OWN, specifier) ? OWN[specifier] : undefined
    return url === undefined ? nextResolve(specifier, context) : { url, shortCircuit: true }
  },
})

function neighbour(name: string): string {
  return pathToFileURL(join(import.meta.dirname, name)).href
}

/** Node would take what did not fail until then for passed. Who ends by itself has been told that nothing is left to do. */
let isDone = false
process.once('beforeExit', () => {
  isDone = true
})
process.once('exit', (code) => {
  if (isDone || code !== 0) return
  process.stderr.write(
    'The tests did not come to their end: one of them, or the plugin, calls process.exit().\n',
  )
  process.exitCode = 1
})

/** With several files each has a process, whose main module it is; main/sole-test-file.ts stands for a single one. */
if (process.env.NODE_TEST_CONTEXT === 'child-v8') watchMain(process.argv[1])

function watchMain(file: string | undefined): void {
  if (file === undefined) return
  const watch = new LeftOpen(relative('', file))
  const evaluated = (): void => watch.evaluated()
  // By then Node has begun with it, and this only waits for the same module.
  setImmediate(() => import(pathToFileURL(realpathSync(file)).href).then(evaluated, evaluated))
}

let soleFile = ''

/** Absolute; for main/sole-test-file.ts. */
export function soleTestFile(): string {
  return soleFile
}

export function setSoleTestFile(file: string): void {
  soleFile = file
}
