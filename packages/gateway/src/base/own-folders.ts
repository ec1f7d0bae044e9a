import { dirname, join, sep } from 'node:path'

/** Where `host.sink` writes, beside the config file. */
export const LOGS_FOLDER = 'logs'

/** The folder of the package `cardea`: two above this file, in src/ and in dist/ alike. */
export const packageFolder = dirname(dirname(import.meta.dirname))

const isInstalled = packageFolder.split(sep).includes('node_modules')

/**
 * The folder of the built-in plugins: the package brings them along; in the workspace they stand at its root.
 *
 * Never the workspace's form for an installed package: two above node_modules/cardea is the user's own project.
 */
export function builtInPluginsDirectory(): string {
  return isInstalled ? join(packageFolder, 'plugins') : join(packageFolder, '..', '..', 'plugins')
}
