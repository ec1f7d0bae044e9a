import { relative } from 'node:path'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { configForTarget, loadConfigFile } from '../config/load.ts'
import { renderProblems } from '../config/render-problems.ts'
import { sourceTextOf } from '../config/source-text.ts'
import type { ConfigProblem } from '../config/types.ts'
import { stopBuildService } from '../control-plane/build.ts'
import type { ChainLink } from '../control-plane/instance-book.ts'
import { prepareGeneration } from '../control-plane/prepare.ts'
import type { ChainSummary, IdlePlugin } from '../control-plane/resolve.ts'
import type { CommandIo } from './io.ts'

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
 * `cardea plugin list`: shows what each route runs, in order, as a gateway started now would. It works from the files
 * alone. Returns the exit code.
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
  try {
    const prepared = await prepareGeneration({ config: loaded.config, number: 1, directories })
    if (!prepared.ok) {
      io.err(describeProblems(prepared.problems))
      return 1
    }
    const from = loaded.config.directory
    const chains = prepared.chains.map((chain) => describeChain(chain, from))
    if (chains.length === 0) chains.push('The config has no routes, so no plugin runs.\n')
    io.out([...chains, ...describeIdle(prepared.idle, from)].join('\n'))
    return 0
  } finally {
    await stopBuildService()
  }
}

function describeProblems(problems: readonly ConfigProblem[]): string {
  return renderProblems(problems, { color: false, textOf: sourceTextOf, directory: process.cwd() })
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

function describeIdle(idle: readonly IdlePlugin[], from: string): string[] {
  if (idle.length === 0) return []
  const rows = idle.map(({ plugin, reason }) => [
    plugin.manifest.name,
    plugin.manifest.version,
    placeOf(plugin.origin, plugin.manifest.folder, from),
    reason,
  ])
  return [`On no route\n${table(['name', 'version', 'from', 'because'], rows)}`]
}

function nameOf({ instance }: ChainLink): string {
  return instance.name === instance.plugin ? instance.name : `${instance.name} (${instance.plugin})`
}

/** Folders are shown as the config file would name them. */
function placeOf(origin: string, folder: string, from: string): string {
  return origin === 'built-in' ? 'built-in' : relative(from, folder)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return all
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('')
}
