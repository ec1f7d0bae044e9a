import { createRequire, isBuiltin } from 'node:module'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { compileFunction } from 'node:vm'
import * as sdk from '@cardea/sdk'
import { GatewayError, messageOf, stackOf } from '../base/errors.ts'
import type { BundlePlan, InstancePlan } from '../protocol/generation.ts'
import { stackMapper } from './source-map.ts'

/** A bundle whose top level has run once in this process; all instances of the plugin share it. */
export interface LoadedBundle {
  readonly codeHash: string
  readonly entryFile: string
  /** What the entry file exports. */
  readonly exports: object
  /** Rewrites the stack of an error so that it points into the plugin's files. Never throws. */
  mapStack(error: Error): string
  /** See `LiveInstance.frameOf`. Never throws. */
  frameOf(stack: string): string | null
}

/** What leads from the frames of a bundle to the plugin's files. */
export type BundleMapper = Pick<LoadedBundle, 'mapStack' | 'frameOf'>

/** The parameters of a CommonJS module, and one that stands for `import.meta.url` (see control-plane/build.ts). */
const PARAMETERS = ['module', 'exports', 'require', '__filename', '__dirname', '__importMetaUrl']

/**
 * Compiles and runs the text of a bundle of `plugin` in this realm.
 *
 * `vm` and not `import()`: an ES module stays in memory for ever, this can be collected (in processes started with
 * `--no-compilation-cache`). There is no callback for dynamic imports, so text that the bundler could not see, such as
 * `new Function('return import("x")')`, cannot load modules either.
 *
 * Throws PLUGIN_START_FAILED, its cause's stack mapped, when the text does not compile or its top level throws.
 */
export function loadBundle(plan: BundlePlan, plugin: string): LoadedBundle {
  const filename = filenameOf(plan)
  const mapper = bundleMapper(plan)
  const module: { exports: unknown } = { exports: {} }
  try {
    const run = compileFunction(plan.code, PARAMETERS, { filename })
    Reflect.apply(run, undefined, [
      module,
      module.exports,
      pluginRequire(plan.entryFile),
      plan.entryFile,
      dirname(plan.entryFile),
      pathToFileURL(plan.entryFile).href,
    ])
  } catch (cause) {
    const mapped = withMappedStack(cause, mapper.mapStack)
    throw new GatewayError('PLUGIN_START_FAILED', `Cannot load plugin "${plugin}": ${messageOf(mapped)}`, {
      cause: mapped,
      plugin,
    })
  }
  const exported = module.exports
  const isObject = (typeof exported === 'object' && exported !== null) || typeof exported === 'function'
  return {
    codeHash: plan.codeHash,
    entryFile: plan.entryFile,
    exports: isObject ? (exported as object) : {},
    ...mapper,
  }
}

/** As those of `LoadedBundle`; what `mapStack` leaves unchanged is no error of this bundle. */
export function bundleMapper(plan: BundlePlan): BundleMapper {
  const mapper = stackMapper({
    filename: filenameOf(plan),
    sourceMap: plan.sourceMap,
    entryFile: plan.entryFile,
  })
  return {
    mapStack(error) {
      try {
        return mapper.map(stackOf(error))
      } catch {
        return stackOf(error)
      }
    },
    frameOf(stack) {
      try {
        return mapper.frameOf(stack)
      } catch {
        return null
      }
    },
  }
}

/** Unlike the entry file's plain name this can never be taken for a line of the source itself. */
function filenameOf(plan: BundlePlan): string {
  return `${plan.entryFile}#${plan.codeHash.slice(0, 12)}`
}

/** The function that `entry_point` names. Throws PLUGIN_EXPORT_MISSING, which lists what is exported instead. */
export function entryPointOf(bundle: LoadedBundle, plan: InstancePlan): (...values: never[]) => unknown {
  const found: unknown = Object.hasOwn(bundle.exports, plan.entryPoint)
    ? Reflect.get(bundle.exports, plan.entryPoint)
    : undefined
  if (typeof found === 'function') return found as (...values: never[]) => unknown
  const names = Object.keys(bundle.exports)
  const reason =
    found === undefined ? 'is not exported' : `is exported as ${found === null ? 'null' : typeof found}`
  const there = names.length === 0 ? 'it exports nothing' : `it exports ${names.join(', ')}`
  throw new GatewayError(
    'PLUGIN_EXPORT_MISSING',
    `Plugin "${plan.plugin}": ${plan.entryPoint} ${reason} by ${bundle.entryFile}; ${there}. ` +
      'Export it as a function, or name another in entry_point of its plugin.json.',
    { plugin: plan.name },
  )
}

/** Gives the thrown error its mapped stack, so that whoever logs it shows the plugin's own lines. */
export function withMappedStack(thrown: unknown, mapStack: (error: Error) => string): unknown {
  if (!(thrown instanceof Error)) return thrown
  try {
    Object.defineProperty(thrown, 'stack', { value: mapStack(thrown), configurable: true, writable: true })
  } catch {
    // A frozen error keeps the stack it has.
  }
  return thrown
}

/** What a bundle may ask for at run time: the contract and Node's own modules. All else was bundled. */
function pluginRequire(entryFile: string): (specifier: string) => unknown {
  let nodeRequire: NodeJS.Require | null = null
  return (specifier) => {
    if (specifier === '@cardea/sdk') return sdk
    if (isBuiltin(specifier)) {
      nodeRequire ??= createRequire(entryFile)
      return nodeRequire(specifier)
    }
    throw new Error(
      `Cannot load "${specifier}" at run time: a plugin is one bundle, made when it was built. ` +
        'Import it by a literal name, so that it is bundled.',
    )
  }
}
