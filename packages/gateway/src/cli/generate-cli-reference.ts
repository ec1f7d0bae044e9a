import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { createProgram } from './program.ts'
import { PLAIN } from './text.ts'

/** Writes docs/reference/cli.md, which is what every command says of itself with --help. */

export const CLI_PAGE = fileURLToPath(new URL('../../../../docs/reference/cli.md', import.meta.url))

const HELP_WIDTH = 100

const INTRO = `<!-- Generated from the commands' own help by "npm run reference"; do not edit. -->

# Command line

What each command says with \`--help\`. The exit code is 0 when what was asked for is so, and 1 when it failed or is held;
then the reason stands on stderr. With \`--json\` a command prints one JSON value on stdout in either case: the result, or
\`{ "error": { "code", "message" } }\` with a code of [errors.md](errors.md).

Commands to a gateway that runs reach it through the Unix domain socket \`.cardea/control.sock\` beside its config file,
which only the user that runs the gateway may use.`

export function cliPage(): string {
  const program = createProgram({
    version: '',
    io: { out() {}, err() {} },
    paint: PLAIN,
    confirm: null,
    isBusy: () => false,
    onExit() {},
  })
  const sections = withSubcommands(program, 'cardea').map(
    ([name, command]) => `## ${name}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\``,
  )
  return `${[INTRO, ...sections].join('\n\n')}\n`
}

function withSubcommands(command: Command, name: string): [name: string, command: Command][] {
  const below = command.commands.flatMap((child) => withSubcommands(child, `${name} ${child.name()}`))
  return [[name, command], ...below]
}

/** All of it: what `addHelpText` added comes out only when it is written. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: (more) => {
      text += more
    },
    getOutHelpWidth: () => HELP_WIDTH,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return text.trim()
}

if (import.meta.main && (await readFile(CLI_PAGE, 'utf8').catch(() => '')) !== cliPage()) {
  await writeFile(CLI_PAGE, cliPage())
  process.stdout.write('Wrote docs/reference/cli.md\n')
}
