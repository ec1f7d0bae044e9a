import type { ChangeReport, GatewayStatus } from '../protocol/control.ts'
import { changeCommand } from './change-command.ts'
import { changeText } from './change-text.ts'
import type { Confirm } from './confirm.ts'
import { askGateway } from './control-client.ts'
import { currentUser, type GatewayCommandContext } from './gateway-command.ts'

/**
 * `cardea approve [id]`. With an id only what has it is let in. Without one whoever sits at a terminal is shown what is
 * held and asked, and approves nothing but that; for a script it is what the gateway holds when the command comes.
 *
 * @param confirm null where nobody can be asked
 */
export async function approveCommand(
  heldId: string | undefined,
  context: GatewayCommandContext,
  confirm: Confirm | null,
): Promise<number> {
  if (heldId !== undefined) return changeCommand({ command: 'approve', heldId }, context)
  const status = confirm === null || context.json ? null : await statusOf(context)
  const held = status === null ? null : newestHeld(status)
  // Nothing to ask about: the gateway says why.
  if (confirm === null || status === null || held?.heldId == null) {
    return changeCommand({ command: 'approve' }, context)
  }
  const { paint, directory, io } = context
  io.err(changeText(held, { paint, directory, serving: status.generation }))
  if (await confirm('Let it go live as it is?')) {
    return changeCommand({ command: 'approve', heldId: held.heldId }, context)
  }
  io.err('Nothing is approved.\n')
  return 1
}

async function statusOf({ directory }: GatewayCommandContext): Promise<GatewayStatus | null> {
  return askGateway({ command: 'status' }, { directory, who: currentUser() }).catch(() => null)
}

function newestHeld({ asked, pending }: GatewayStatus): ChangeReport | null {
  return [asked, pending].find((report) => report?.outcome === 'held') ?? null
}
