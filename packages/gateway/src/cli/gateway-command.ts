import { userInfo } from 'node:os'
import { GatewayError } from '../base/errors.ts'
import { printable } from '../config/render-problems.ts'
import type { ChangeWait, ControlCommand } from '../protocol/control.ts'
import { failureOf } from '../protocol/failure.ts'
import { waitText } from './change-text.ts'
import { askGateway, type ResultOf } from './control-client.ts'
import type { CommandIo } from './io.ts'
import type { Paint } from './text.ts'

/** What all commands have that ask a gateway. */
export interface GatewayCommandContext {
  /** The folder of the gateway's config file, or where `cardea --to` runs; absolute. */
  readonly directory: string
  /** Print the result as it came, as JSON, instead of for people. */
  readonly json: boolean
  readonly io: CommandIo
  readonly paint: Paint
  /** Unix time, milliseconds. */
  now(): number
}

/** What a result looks like, and whether it is what was wanted. */
export interface Rendered {
  readonly text: string
  readonly exitCode: 0 | 1
}

/**
 * Asks the gateway and shows the answer: on stdout what was wanted, on stderr why not. With `--json` stdout always has
 * one JSON value. Returns the exit code.
 */
export async function runGatewayCommand<Command extends ControlCommand>(
  command: Command,
  context: GatewayCommandContext,
  render: (result: ResultOf<Command>) => Rendered | Promise<Rendered>,
): Promise<number> {
  const { directory, json, io } = context
  try {
    const result = await askGateway(command, { directory, who: currentUser(), onWait: once(io, directory) })
    const { text, exitCode } = await render(result)
    if (json) io.out(jsonText(result))
    else if (exitCode === 0) io.out(text)
    else io.err(text)
    return exitCode
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown
    const { code, message } = failureOf(thrown)
    if (json) io.out(jsonText({ error: { code, message } }))
    io.err(`${printable(`${code}: ${message}`)}\n`)
    return 1
  }
}

/** Says once that a change waits, and what for. */
function once(io: CommandIo, directory: string): (wait: ChangeWait) => void {
  let hasSaid = false
  return (wait) => {
    if (!hasSaid) io.err(`${waitText(wait, directory)} Ctrl-C takes this command back.\n`)
    hasSaid = true
  }
}

/** The user that typed the command, as the history shows them: behind sudo it is not root. */
export function currentUser(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const name = env.SUDO_USER || nameOfUser()
  return printable(name).slice(0, 64) || 'unknown'
}

/** A container may run under an id that has no name. */
function nameOfUser(): string {
  try {
    return userInfo().username
  } catch {
    return `user ${process.getuid?.() ?? 'unknown'}`
  }
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
