import { type Command, InvalidArgumentError } from 'commander'
import type { ProgramOptions } from './program.ts'
import { contextOf, type GatewayOptionValues, gatewayCommand, parseGeneration } from './program-gateway.ts'

/** The commands that show what a gateway runs. */

const HISTORY_LIMIT_DEFAULT = 20
const HISTORY_LIMIT_MAX = 1_000

export function addInspectCommands(program: Command, options: ProgramOptions): void {
  gatewayCommand(
    program,
    'status',
    'show what serves: generation, workers, plugins; what does not although it is on disk, and why',
    ['cardea status', 'cardea status --config /etc/cardea/cardea.yaml --json'],
  ).action(async (values: GatewayOptionValues) => {
    const { statusCommand } = await import('./status.ts')
    options.onExit(await statusCommand(contextOf(values, options)), false)
  })
  gatewayCommand(program, 'history', 'list the generations, newest first: when, who, why, what changed', [
    'cardea history',
    'cardea history --limit 100',
  ])
    .option('--limit <number>', 'how many', parseLimit, HISTORY_LIMIT_DEFAULT)
    .action(async (values: GatewayOptionValues & { limit: number }) => {
      const { historyCommand } = await import('./history.ts')
      options.onExit(await historyCommand(values.limit, contextOf(values, options)), false)
    })
}

export function addConfigDiff(config: Command, options: ProgramOptions): void {
  gatewayCommand(
    config,
    'diff',
    'show what differs between the config of a generation and the file; ${…} stays as it is written',
    ['cardea config diff', 'cardea config diff 12'],
  )
    .argument('[generation]', 'its number (default: the one that serves)', parseGeneration)
    .action(async (generation: number | undefined, values: GatewayOptionValues) => {
      const { configDiffCommand } = await import('./config-diff.ts')
      options.onExit(await configDiffCommand(generation ?? null, contextOf(values, options)), false)
    })
}

export function addPluginInspectCommands(plugin: Command, options: ProgramOptions): void {
  gatewayCommand(
    plugin,
    'info',
    'show a plugin as it runs: where, with which config, and where that is from',
    ['cardea plugin info auth'],
  )
    .argument('<name>', 'the plugin')
    .action(async (name: string, values: GatewayOptionValues) => {
      const { pluginInfoCommand } = await import('./plugin-info.ts')
      options.onExit(await pluginInfoCommand(name, contextOf(values, options)), false)
    })
  gatewayCommand(plugin, 'versions', 'list the versions of a plugin that can be brought back', [
    'cardea plugin versions auth',
  ])
    .argument('<name>', 'the plugin')
    .action(async (name: string, values: GatewayOptionValues) => {
      const { pluginVersionsCommand } = await import('./plugin-versions.ts')
      options.onExit(await pluginVersionsCommand(name, contextOf(values, options)), false)
    })
}

function parseLimit(text: string): number {
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN
  if (limit >= 1 && limit <= HISTORY_LIMIT_MAX) return limit
  throw new InvalidArgumentError(`It is a number from 1 to ${HISTORY_LIMIT_MAX}.`)
}
