import type { ChangeReport, ControlCommand } from '../protocol/control.ts'
import { changeText } from './change-text.ts'
import { askGateway } from './control-client.ts'
import {
  currentUser,
  type GatewayCommandContext,
  type Rendered,
  runGatewayCommand,
} from './gateway-command.ts'

/** The commands that ask for a change. */
export type ChangeCommand = Extract<
  ControlCommand,
  {
    readonly command:
      | 'rollback'
      | 'approve'
      | 'release'
      | 'plugin-rollback'
      | 'plugin-enable'
      | 'plugin-disable'
      | 'plugin-reload'
  }
>

/**
 * `cardea rollback`, `approve`, `release`, `plugin rollback`, `plugin enable`, `plugin disable`, `plugin reload`: asks for
 * the change, waits for it, and shows what became of it. Returns the exit code: 0 when it is live or nothing was to do,
 * 1 when it failed or is held.
 */
export async function changeCommand(command: ChangeCommand, context: GatewayCommandContext): Promise<number> {
  return runGatewayCommand(command, context, (report) => render(report, context))
}

async function render(report: ChangeReport, context: GatewayCommandContext): Promise<Rendered> {
  const { paint, directory } = context
  const isDone = report.outcome === 'committed' || report.outcome === 'unchanged'
  const serving = isDone || context.json ? report.generation : await servingGeneration(directory)
  return { text: changeText(report, { paint, directory, serving }), exitCode: isDone ? 0 : 1 }
}

/** What serves although the change failed; null when the gateway does not say. */
async function servingGeneration(directory: string): Promise<number | null> {
  try {
    return (await askGateway({ command: 'status' }, { directory, who: currentUser() })).generation
  } catch {
    return null
  }
}
