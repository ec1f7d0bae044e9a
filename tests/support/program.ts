import { join } from 'node:path'
import { builtProgram } from '../../packages/gateway/build/bundle.js'

/** The launcher, as the package installs it. */
export const LAUNCHER = join(import.meta.dirname, '../../packages/gateway/bin/cardea.js')

/** Where the launcher has V8 keep what it compiled. */
const COMPILE_CACHE = join(import.meta.dirname, '../../node_modules/.cache/cardea')

let becomes: readonly string[] | null = null

/**
 * What the launcher replaces itself with on this Node, as arguments of Node. *Measured*: the launcher takes 0.19 s of CPU
 * each time, a start of Node and a look at all sources; the tests start hundreds of gateways and commands. A test in
 * gateway.test.ts holds the two together.
 */
export function programArguments(): readonly string[] {
  becomes ??= ['--disable-sigusr1', builtProgram()]
  return becomes
}

/** The environment of this process, and what the launcher adds to it. */
export function programEnvironment(): NodeJS.ProcessEnv {
  return { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env, NODE_TEST_CONTEXT: undefined }
}
