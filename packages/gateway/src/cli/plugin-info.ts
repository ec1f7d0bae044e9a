import { describePointer, readPointer } from '../config/pointer.ts'
import { printable } from '../config/render-problems.ts'
import type { PluginInfo } from '../protocol/control.ts'
import { pinText } from './change-text.ts'
import { type GatewayCommandContext, runGatewayCommand } from './gateway-command.ts'
import { pluginStateText } from './plugin-state-text.ts'
import { versionsText } from './plugin-versions.ts'
import { folderText, nameOf } from './status.ts'
import { plural, table } from './text.ts'

/** `cardea plugin info NAME`: a plugin as it runs: where, with which config, and where each value is from. */
export async function pluginInfoCommand(plugin: string, context: GatewayCommandContext): Promise<number> {
  return runGatewayCommand({ command: 'plugin-info', plugin }, context, (info) => ({
    text: pluginInfoText(info, context.directory, context.now()),
    exitCode: 0,
  }))
}

export function pluginInfoText(info: PluginInfo, directory: string, now: number): string {
  const { instances } = info
  const sections = [headOf(info, directory, now), ...instances.map(instanceText)]
  if (instances.length === 0) sections.push('It runs on no route.\n')
  if (info.versions.length > 0) sections.push(`Versions\n${versionsText(info.versions, now)}`)
  return sections.join('\n')
}

function headOf(info: PluginInfo, directory: string, now: number): string {
  const { name, version, description, folder, category, dependencies, permissions, state } = info
  const title = [name, ...(version === null ? [] : [version])].join(' ')
  const text = pluginStateText(name, state)
  // The state is that of the newest change, and what runs may be of an older one.
  const isOlder = info.instances.length > 0 && state.kind !== 'active' && state.kind !== 'quarantined'
  // No plugin of the newest change has its name.
  const onDisk = state.kind === 'stopped' ? 'nothing on disk has its name' : `on disk it is ${text}`
  const lines = [`Plugin ${title}: ${isOlder ? `runs; ${onDisk}` : text}`]
  if (description !== '') lines.push(`  ${description}`)
  if (info.pin !== null) lines.push(`  Held back: ${pinText(info.pin, now)}`)
  const ranges = Object.entries(dependencies).map(([plugin, range]) => `${plugin} ${range}`)
  const facts: [string, string][] = [
    ['from', folderText(directory, folder)],
    ['category', category ?? ''],
    ['depends on', ranges.join(', ')],
    ['may', permissions.join(', ')],
  ]
  for (const [label, value] of facts) if (value !== '') lines.push(`  ${label.padEnd(12)}${value}`)
  return lines.map((line) => `${printable(line)}\n`).join('')
}

function instanceText(instance: PluginInfo['instances'][number]): string {
  const { state, failures, routes, sources, config } = instance
  const on =
    routes.length === 0 ? 'no route' : `${routes.length === 1 ? 'route' : 'routes'} ${routes.join(', ')}`
  const head = printable(`Instance ${nameOf(instance)}: ${state}, ${plural(failures, 'failure')}, on ${on}`)
  const rows = Object.entries(sources).map(([pointer, source]) => [
    describePointer(pointer),
    JSON.stringify(readPointer(config, pointer)) ?? '',
    source,
  ])
  return `${head}\n${rows.length === 0 ? '' : table(['key', 'value', 'from'], rows)}`
}
