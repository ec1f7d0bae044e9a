import { dirname, resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import type { GatewayCommandContext } from './gateway-command.ts'
import type { ProgramOptions } from './program.ts'

/** What the commands have in common that talk to a gateway which runs. */

export interface GatewayOptionValues {
  readonly config?: string
  readonly json?: true
}

/** A command to a gateway, with the options that all of them have. */
export function gatewayCommand(
  parent: Command,
  name: string,
  description: string,
  examples: readonly string[],
): Command {
  const lines = examples.map((example) => `\n  ${example}`).join('')
  return parent
    .command(name)
    .description(description)
    .option('-c, --config <file>', 'the config file of the gateway (default: the gateway in this folder)')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', `\n${examples.length === 1 ? 'Example' : 'Examples'}:${lines}`)
}

export function contextOf(values: GatewayOptionValues, { io, paint }: ProgramOptions): GatewayCommandContext {
  return {
    directory: gatewayDirectory(values.config),
    json: values.json === true,
    io,
    paint,
    now: Date.now,
  }
}

/** The folder that `--config FILE` means, or the current one. */
function gatewayDirectory(config: string | undefined): string {
  return config === undefined ? process.cwd() : dirname(resolve(config))
}

export function parseGeneration(text: string): number {
  const number = /^[1-9]\d{0,14}$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(number)) return number
  throw new InvalidArgumentError('It is the number of a generation; "cardea history" lists them.')
}
