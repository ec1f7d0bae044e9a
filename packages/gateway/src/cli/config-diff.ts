import { printable } from '../config/render-problems.ts'
import type { ConfigDiff } from '../protocol/control.ts'
import { type GatewayCommandContext, runGatewayCommand } from './gateway-command.ts'
import type { Paint } from './text.ts'

/** `cardea config diff [N]`: what differs between a generation's config and the file. Returns the exit code. */
export async function configDiffCommand(
  generation: number | null,
  context: GatewayCommandContext,
): Promise<number> {
  return runGatewayCommand({ command: 'config-diff', generation }, context, (diff) => ({
    text: diffText(diff, context.paint),
    exitCode: 0,
  }))
}

export function diffText({ from, to, text }: ConfigDiff, paint: Paint): string {
  if (text === '') return `No difference between ${from} and ${to}.\n`
  return text
    .split('\n')
    .map((line) => paintedLine(printable(line), paint))
    .join('\n')
}

function paintedLine(line: string, paint: Paint): string {
  if (/^(---|\+\+\+) /.test(line)) return paint('bold', line)
  if (line.startsWith('@@')) return paint('cyan', line)
  if (line.startsWith('-')) return paint('red', line)
  return line.startsWith('+') ? paint('green', line) : line
}
