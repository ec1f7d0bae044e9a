import { versionLabel } from '../base/version-label.ts'
import type { GenerationRange, PluginVersion } from '../protocol/control.ts'
import { type GatewayCommandContext, runGatewayCommand } from './gateway-command.ts'
import { agoText, table } from './text.ts'

/** Enough to tell versions apart; the whole hash is in `--json`. */
const HASH_SHOWN_LENGTH = 8
/** A version that comes and goes has many; all of them are in `--json`. */
const RANGES_SHOWN_MAX = 4

/** `cardea plugin versions NAME`: the versions that can be brought back. Returns the exit code. */
export async function pluginVersionsCommand(plugin: string, context: GatewayCommandContext): Promise<number> {
  return runGatewayCommand({ command: 'plugin-versions', plugin }, context, (versions) => ({
    text: versionsText(versions, context.now()) + wayBackText(plugin, versions),
    exitCode: 0,
  }))
}

export function versionsText(versions: readonly PluginVersion[], now: number): string {
  if (versions.length === 0) return 'No version of it is stored.\n'
  const rows = versions.map(({ version, contentHash, generations, at, isLive, hasFailed }) => [
    version,
    contentHash.slice(0, HASH_SHOWN_LENGTH),
    [...(isLive ? ['live'] : []), ...(hasFailed ? ['failed'] : [])].join(', '),
    generationsText(generations),
    agoText(at, now),
  ])
  return table(['version', 'content', '', 'generations', 'since'], rows)
}

/** Not simply the one that ran last: that may have failed, or be what somebody went back from. */
function wayBackText(plugin: string, versions: readonly PluginVersion[]): string {
  const wayBack = versions.find(({ isWayBack }) => isWayBack)
  return wayBack === undefined
    ? ''
    : `\n"cardea plugin rollback ${plugin}" brings ${versionLabel(wayBack)} back.\n`
}

/** `1, 8–9`; of many the first and the last ones: `1, …, 40, 42, 44–45`. */
function generationsText(ranges: readonly GenerationRange[]): string {
  const texts = ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}–${last}`))
  const left = texts.length - RANGES_SHOWN_MAX
  return (left > 0 ? texts.toSpliced(1, left, '…') : texts).join(', ')
}
