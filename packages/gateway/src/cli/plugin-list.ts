import { dirname, relative } from 'node:path'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { configForTarget, loadConfigFile } from '../config/load.ts'
import { renderProblems } from '../config/render-problems.ts'
import { sourceTextOf } from '../config/source-text.ts'
import type { ConfigProblem } from '../config/types.ts'
import { stopBuildService } from '../control-plane/build.ts'
import type { PluginDirectories, PluginOrigin } from '../control-plane/discover.ts'
import type { ChainLink } from '../control-plane/instance-book.ts'
import { PluginLifecycle } from '../control-plane/lifecycle.ts'
import { prepareGeneration } from '../control-plane/prepare.ts'
import type { ChainSummary } from '../control-plane/resolve.ts'
import type { CommandIo } from './io.ts'
import { pluginStateText } from './plugin-state-text.ts'
import { table } from './text.ts'

export interface PluginListOptions {
  /** Path of the config file, or null for the plugins that `cardea --to URL` would run. */
  readonly config: string | null
  readonly io: CommandIo
  /** Default: those that came with this program. */
  readonly builtInDirectory?: string
}

/** Any upstream will do: nothing is sent there. */
const SOME_TARGET = 'http://127.0.0.1:3000'

/**
 * `cardea plugin list`: shows what each route runs, in order, as a gateway started now would, and how far each plugin
 * comes. It works from the files alone: no plugin's code is run. Returns the exit code, 1 when something failed; then
 * there are no chains to show.
 */
export async function pluginList(options: PluginListOptions): Promise<number> {
  const { config: file, io } = options
  const loaded =
    file === null ? configForTarget(SOME_TARGET) : await loadConfigFile(file, { env: process.env })
  if (!loaded.ok) {
    io.err(describeProblems(loaded.problems))
    return 1
  }
  const directories = {
    user: loaded.config.pluginsDirectory,
    builtIn: options.builtInDirectory ?? builtInPluginsDirectory(),
  }
  const { config } = loaded
  const from = config.directory
  const lifecycle = new PluginLifecycle()
  try {
    const prepared = await prepareGeneration({ config, number: 1, directories, lifecycle })
    const chains = prepared.ok ? describeChains(prepared.chains, from) : []
    const idle = new Set(prepared.ok ? prepared.idle.map(({ plugin }) => plugin.manifest.folder) : [])
    const rows = lifecycle.plugins.map((plugin) => [
      plugin.name,
      plugin.version ?? '',
      placeOf(originOf(plugin.folder, directories), plugin.folder, from),
      pluginStateText(plugin.name, plugin.state, idle.has(plugin.folder)),
    ])
    if (rows.length > 0) chains.push(`Plugins\n${table(['name', 'version', 'from', 'state'], rows)}`)
    if (chains.length > 0) io.out(chains.join('\n'))
    if (prepared.ok) return 0
    io.err(describeProblems(prepared.problems))
    return 1
  } finally {
    await stopBuildService()
  }
}

function describeProblems(problems: readonly ConfigProblem[]): string {
  return renderProblems(problems, { color: false, textOf: sourceTextOf, directory: process.cwd() })
}

function describeChains(chains: readonly ChainSummary[], from: string): string[] {
  if (chains.length === 0) return ['The config has no routes, so no plugin runs.\n']
  return chains.map((chain) => describeChain(chain, from))
}

function describeChain({ route, links, optedOut }: ChainSummary, from: string): string {
  const rows = links.map((link, index) => [
    `${index + 1}`,
    nameOf(link),
    link.instance.version,
    link.instance.category,
    `${link.instance.priority}`,
    placeOf(link.origin, link.folder, from),
  ])
  const chain =
    rows.length === 0
      ? '  no plugins\n'
      : table(['', 'name', 'version', 'category', 'priority', 'from'], rows)
  const off = optedOut.map(
    ({ name, known }) => `  off: ${name}${known ? '' : ' (there is no such plugin)'}\n`,
  )
  return `Route ${route}\n${chain}${off.join('')}`
}

function nameOf({ instance }: ChainLink): string {
  return instance.name === instance.plugin ? instance.name : `${instance.name} (${instance.plugin})`
}

function originOf(folder: string, { builtIn }: PluginDirectories): PluginOrigin {
  return dirname(folder) === builtIn ? 'built-in' : 'user'
}

/** Folders are shown as the config file would name them. */
function placeOf(origin: PluginOrigin, folder: string, from: string): string {
  return origin === 'built-in' ? 'built-in' : relative(from, folder)
}
