import { basename, dirname, relative } from 'node:path'
import { GatewayError } from '../base/errors.ts'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { configForTarget, loadConfigFile } from '../config/load.ts'
import { printable, renderProblems } from '../config/render-problems.ts'
import { sourceTextOf } from '../config/source-text.ts'
import type { ConfigProblem, LoadedConfig } from '../config/types.ts'
import { stopBuildService } from '../control-plane/build.ts'
import { NO_CONTROLS } from '../control-plane/controls.ts'
import type { PluginDirectories, PluginOrigin } from '../control-plane/discover.ts'
import type { ChainLink } from '../control-plane/instance-book.ts'
import { PluginLifecycle } from '../control-plane/lifecycle.ts'
import { prepareGeneration } from '../control-plane/prepare.ts'
import type { ChainSummary } from '../control-plane/resolve.ts'
import type { GatewayStatus } from '../protocol/control.ts'
import type { PluginState, PluginStatus } from '../protocol/plugin-state.ts'
import { askGateway } from './control-client.ts'
import { currentUser } from './gateway-command.ts'
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
 * comes. It works from the files: no plugin's code is run. What no file says, a gateway that runs on them is asked for:
 * what is switched off or quarantined. Returns the exit code, 1 when something failed; then there are no chains to show.
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
  const running = await runningOn(config, io)
  const controls = { ...NO_CONTROLS, disabled: switchedOff(running) }
  const quarantined = quarantinedIn(running)
  try {
    const prepared = await prepareGeneration({ config, number: 1, directories, lifecycle, controls })
    const chains = prepared.ok ? describeChains(prepared.chains, from) : []
    const idle = new Set(prepared.ok ? prepared.idle.map(({ plugin }) => plugin.manifest.folder) : [])
    const rows = lifecycle.plugins.map((plugin) => [
      plugin.name,
      plugin.version ?? '',
      placeOf(originOf(plugin.folder, directories), plugin.folder, from),
      pluginStateText(plugin.name, stateOf(plugin, quarantined), idle.has(plugin.folder)),
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

/** What the gateway says that runs on this config; null when none does. One that there is and cannot be asked is told of. */
async function runningOn({ directory, file }: LoadedConfig, io: CommandIo): Promise<GatewayStatus | null> {
  try {
    const status = await askGateway({ command: 'status' }, { directory, who: currentUser(), waitMs: 0 })
    // Another config file may stand beside this one. In which folder is settled, by whatever path it was named.
    return fileName(status.config) === fileName(file) ? status : null
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown
    const { code, message } = thrown
    if (code !== 'GATEWAY_NOT_RUNNING')
      io.err(`${printable(`What is shown is by the files alone: ${code}: ${message}`)}\n`)
    return null
  }
}

function fileName(path: string | null): string | null {
  return path === null ? null : basename(path)
}

function switchedOff(running: GatewayStatus | null): string[] {
  const isOff = ({ state }: PluginStatus): boolean => state.kind === 'disabled' && state.by === 'command'
  return running?.plugins.filter(isOff).map(({ name }) => name) ?? []
}

/** By plugin. What was saved since and does not go live has other states: what runs is in the instances. */
function quarantinedIn(running: GatewayStatus | null): ReadonlyMap<string, PluginState> {
  if (running === null) return new Map()
  const { generation, plugins, instances } = running
  const told = plugins.filter(({ state }) => state.kind === 'quarantined')
  const barred = instances.filter(({ state }) => state === 'quarantined')
  const states = Array.from(
    Map.groupBy(barred, ({ plugin }) => plugin),
    ([plugin, some]): [string, PluginState] => [
      plugin,
      { kind: 'quarantined', generation, instances: some.map(({ name }) => ({ name, harm: null })) },
    ],
  )
  return new Map([...states, ...told.map(({ name, state }) => [name, state] as const)])
}

/** What is broken or off in the files does not run as it stands there. */
function stateOf({ name, state }: PluginStatus, quarantined: ReadonlyMap<string, PluginState>): PluginState {
  const isWell = state.kind !== 'failed' && state.kind !== 'disabled'
  return isWell ? (quarantined.get(name) ?? state) : state
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
