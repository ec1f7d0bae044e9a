import type { PluginVersion } from '../protocol/control.ts'
import { type GatewayCommandContext, runGatewayCommand } from './gateway-command.ts'
import { agoText, table } from './text.ts'

/** Enough to tell versions apart; the whole hash is in `--json`. */
const HASH_SHOWN_LENGTH = 8

/** `cardea plugin versions NAME`: the versions that can be brought back. Returns the exit code. */
export async function pluginVersionsCommand(plugin: string, context: GatewayCommandContext): Promise<number> {
  return runGatewayCommand({ command: 'plugin-versions', plugin }, context, (versions) => ({
    text: versionsText(versions, context.now()),
    exitCode: 0,
  }))
}

export function versionsText(versions: readonly PluginVersion[], now: number): string {
  if (versions.length === 0) return 'No version of it is stored.\n'
  const rows = versions.map(({ version, contentHash, firstGeneration, lastGeneration, at, isLive }) => [
    version,
    contentHash.slice(0, HASH_SHOWN_LENGTH),
    isLive ? 'live' : '',
    firstGeneration === lastGeneration ? `${firstGeneration}` : `${firstGeneration}–${lastGeneration}`,
    agoText(at, now),
  ])
  return table(['version', 'content', '', 'generations', 'since'], rows)
}
