import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { ProgramOptions } from './program.ts'

/** Commands that make what the config of a plugin holds; they need no gateway. */

const PEPPER_OPTION = '--pepper-file <file>'
const PEPPER_HELP = 'hash with the pepper in this file, as `pepper: "${file:…}"` of key-auth has it'

interface Given {
  readonly pepperFile?: string
}

export function addKeyCommands(program: Command, options: ProgramOptions): void {
  const { io } = options
  const key = program.command('key').description('make keys for the plugin key-auth')
  const settings = ({ pepperFile }: Given) => ({
    pepperFile: pepperFile === undefined ? null : resolve(pepperFile),
    io,
  })
  key
    .command('new')
    .description('make a key: prints it, this once, and the hash for the config')
    .option(PEPPER_OPTION, PEPPER_HELP)
    .addHelpText('after', '\nExample:\n  cardea key new')
    .action(async (given: Given) => {
      const { keyNew } = await import('./key.ts')
      options.onExit(await keyNew(settings(given)), false)
    })
  key
    .command('hash')
    .description('print the hash of a key that is there already, which is read from stdin')
    .option(PEPPER_OPTION, PEPPER_HELP)
    .addHelpText('after', '\nExample:\n  cardea key hash < partner.key')
    .action(async (given: Given) => {
      const { keyHash, readKey } = await import('./key.ts')
      if (process.stdin.isTTY) io.err('The key, then Enter and Ctrl-D:\n')
      options.onExit(await keyHash(settings(given), () => readKey(process.stdin)), false)
    })
}
