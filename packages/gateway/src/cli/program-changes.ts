import type { Command } from 'commander'
import type { ChangeCommand } from './change-command.ts'
import type { ProgramOptions } from './program.ts'
import { contextOf, type GatewayOptionValues, gatewayCommand, parseGeneration } from './program-gateway.ts'

/** The commands that make a gateway change. All of them show what became of the change. */

const APPROVE_WITHOUT_ID = `
Without an id it shows what is held and asks, on a terminal. Anywhere else, and with --json, it lets in what is held when
the command comes, which may be newer than what somebody has looked at.`

export function addChangeCommands(program: Command, options: ProgramOptions): void {
  const run = runner(options)
  gatewayCommand(
    program,
    'rollback',
    'bring a generation back; what differs from it on disk is held until it changes, or "cardea release"',
    ['cardea rollback', 'cardea rollback 12'],
  )
    .argument(
      '[generation]',
      'its number (default: the last one before that is another and was not gone back from)',
      parseGeneration,
    )
    .action((generation: number | undefined, values: GatewayOptionValues) =>
      run({ command: 'rollback', generation: generation ?? null }, values),
    )
  gatewayCommand(
    program,
    'approve',
    'let a held change go live although a route loses a security plugin by it',
    ['cardea approve 3f9a1c2b', 'cardea approve'],
  )
    .argument(
      '[id]',
      'what "cardea status" and the log call its losses: no others are let in (default: see below)',
    )
    .addHelpText('after', APPROVE_WITHOUT_ID)
    .action(async (id: string | undefined, values: GatewayOptionValues) => {
      const { approveCommand } = await import('./approve.ts')
      options.onExit(await approveCommand(id, contextOf(values, options), options.confirm), false)
    })
  gatewayCommand(program, 'release', 'let in what stands on disk and was held back by a rollback', [
    'cardea release',
    'cardea release auth',
    'cardea release config',
  ])
    .argument('[unit]', 'the name of a plugin, or config (default: all)')
    .action((unit: string | undefined, values: GatewayOptionValues) =>
      run({ command: 'release', unit: unit ?? null }, values),
    )
}

export function addPluginChangeCommands(plugin: Command, options: ProgramOptions): void {
  const run = runner(options)
  gatewayCommand(
    plugin,
    'rollback',
    'bring a version of a plugin back; what stands on disk is held until it changes, or "cardea release NAME"',
    [
      'cardea plugin rollback auth',
      'cardea plugin rollback auth 1.0.0',
      'cardea plugin rollback auth 3f2a91c0',
    ],
  )
    .argument('<name>', 'the plugin')
    .argument(
      '[version]',
      'a version, or the beginning of its content hash (default: the last one before that did not fail and was not gone back from)',
    )
    .action((name: string, version: string | undefined, values: GatewayOptionValues) =>
      run({ command: 'plugin-rollback', plugin: name, version: version ?? null }, values),
    )
  const switches = [
    [
      'enable',
      'plugin-enable',
      'run a plugin again that "cardea plugin disable" took out, as its files stand on disk',
    ],
    ['disable', 'plugin-disable', 'run a plugin nowhere any more, whatever its files and the config say'],
    ['reload', 'plugin-reload', 'make the instances of a plugin anew of its files, and end its quarantine'],
  ] as const satisfies readonly (readonly [string, ChangeCommand['command'], string])[]
  for (const [name, command, description] of switches) {
    gatewayCommand(plugin, name, description, [`cardea plugin ${name} auth`])
      .argument('<name>', 'the plugin')
      .action((given: string, values: GatewayOptionValues) => run({ command, plugin: given }, values))
  }
}

function runner(options: ProgramOptions) {
  return async (command: ChangeCommand, values: GatewayOptionValues): Promise<void> => {
    const { changeCommand } = await import('./change-command.ts')
    options.onExit(await changeCommand(command, contextOf(values, options)), false)
  }
}
