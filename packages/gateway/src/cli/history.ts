import type { HistoryEntry } from '../protocol/control.ts'
import { causeText } from './change-text.ts'
import { type GatewayCommandContext, runGatewayCommand } from './gateway-command.ts'
import { agoText, table } from './text.ts'

/** What one generation changed may be much; all of it is in `--json`. */
const CHANGES_SHOWN_MAX = 4

/** `cardea history`: the generations, newest first. Returns the exit code. */
export async function historyCommand(limit: number, context: GatewayCommandContext): Promise<number> {
  return runGatewayCommand({ command: 'history', limit }, context, (entries) => ({
    text: historyText(entries, context.directory, context.now()),
    exitCode: 0,
  }))
}

export function historyText(entries: readonly HistoryEntry[], directory: string, now: number): string {
  if (entries.length === 0) return 'There is no generation yet.\n'
  const rows = entries.flatMap((entry) => rowsOf(entry, directory, now))
  // Not simply the newest: that may run what is in quarantine, or be what somebody went back from.
  const wayBack = entries.find(({ isWayBack }) => isWayBack)
  const hint = wayBack === undefined ? '' : `\n"cardea rollback ${wayBack.number}" brings one back.\n`
  return table(['generation', '', 'when', 'who', 'why', 'what changed'], rows) + hint
}

function rowsOf(entry: HistoryEntry, directory: string, now: number): string[][] {
  const { number, at, who, cause, changes } = entry
  const shown = changes.slice(0, CHANGES_SHOWN_MAX)
  const more = changes.length - shown.length
  if (more > 0) shown.push(`and ${more} more`)
  const [first = '', ...rest] = shown
  return [
    [`${number}`, stateOf(entry), agoText(at, now), who, causeText(cause, directory), first],
    ...rest.map((change) => ['', '', '', '', '', change]),
  ]
}

function stateOf({ isLive, isStored }: HistoryEntry): string {
  if (isLive) return 'live'
  return isStored ? '' : 'gone'
}
