import { resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { nearestOf } from '../config/nearest.ts'
import { parseTarget } from '../config/target.ts'
import type { ServeSource } from '../protocol/master-supervisor.ts'
import type { Confirm } from './confirm.ts'
import { CONFIG_NAMES, findConfig } from './find-config.ts'
import type { CommandIo } from './io.ts'
import { addChangeCommands, addPluginChangeCommands } from './program-changes.ts'
import { addConfigDiff, addInspectCommands, addPluginInspectCommands } from './program-inspect.ts'
import { addKeyCommands } from './program-key.ts'
import type { Paint } from './text.ts'

/**
 * The command line. Every command ends with exit code 0, or 1 and a sentence on stderr. Commands load their code when
 * they run, so that making the program, and its help, loads nothing of a gateway.
 */

export interface ProgramOptions {
  readonly version: string
  readonly io: CommandIo
  /** For what goes to stdout. */
  readonly paint: Paint
  /** Null where nobody can be asked. */
  readonly confirm: Confirm | null
  /** What was written to stdout has not left yet. */
  isBusy(): boolean
  /** The exit code of a command that has ended; `hasChildren`: what still runs is to be left behind. */
  onExit(exitCode: number, hasChildren: boolean): void
}

const CONFIG_OPTION = '-c, --config <file>'
const CONFIG_DEFAULT = `default: ${CONFIG_NAMES.join(', ')} here`

const EXAMPLES = `
Examples:
  cardea --to http://localhost:3000         proxy on port 8080, with the plugins of ./plugins
  cardea serve --config cardea.yaml         proxy as the file says
  cardea dev                                the same, and show each change and each request
  cardea status                             what serves, what does not, and why
  cardea rollback                           back to the generation before
  cardea config check cardea.yaml           all errors of the file at once
  cardea plugin new hello                   a plugin that works, in ./plugins/hello

Logs go to stderr, as JSON unless it is a terminal. SIGTERM or Ctrl-C: finish what is in flight and end; twice: end now.
SIGHUP: open the files of the logs folder again, after something has moved them away.
Commands to a gateway that runs find it by its config file: here, or named by --config. Their exit code is 0 when what
was asked for is so, 1 when it failed or is held.`

export function createProgram(options: ProgramOptions): Command {
  const program = new Command('cardea')
    .description('A reverse proxy whose behaviour is a chain of TypeScript plugins')
    .version(options.version, '-V, --version', 'show the version')
    .option('--to <url>', 'proxy every request to this server', parseUrl)
    .option(
      '--port <number>',
      'with --to: the port to listen on, 0 for any free one (default: 8080)',
      parsePort,
    )
    .argument('[command]')
    .usage('--to <url> [--port <number>] | <command>')
    .addHelpText('after', EXAMPLES)
    .helpCommand('help [command]', 'display help for command')
    .showSuggestionAfterError()
    // The parser takes them wherever they stand, and no command looks at them.
    .hook('preAction', (_, command) => {
      const { to, port } = program.opts<{ to?: string; port?: number }>()
      if (command === program || (to === undefined && port === undefined)) return
      program.error(
        'error: --to and --port go without a command; a config file has its own upstreams and `listen`',
      )
    })
    .action(async (command: string | undefined, given: { to?: string; port?: number }) => {
      if (command !== undefined) return failUnknownCommand(program, command)
      if (given.to === undefined) {
        if (given.port !== undefined)
          program.error('error: --port goes with --to; a config file has its own `listen`')
        return program.help({ error: true })
      }
      const { to: url, port = null } = given
      await runGateway({ kind: 'target', url, port, directory: process.cwd() }, false, options)
    })
  addServe(program, options)
  addDev(program, options)
  addInspectCommands(program, options)
  addChangeCommands(program, options)
  addConfig(program, options)
  addPlugin(program, options)
  addKeyCommands(program, options)
  return program
}

function addServe(program: Command, options: ProgramOptions): void {
  program
    .command('serve')
    .description('run the gateway')
    .option(CONFIG_OPTION, `the config file (${CONFIG_DEFAULT})`)
    .option('--strict', 'end with exit code 1 when what the files say cannot be served at start')
    .addHelpText('after', '\nExamples:\n  cardea serve\n  cardea serve --config /etc/cardea/cardea.yaml')
    .action(async (given: { config?: string; strict?: true }) => {
      const source: ServeSource = { kind: 'file', file: configFile(program, given.config) }
      await runGateway(source, given.strict === true, options)
    })
}

function addDev(program: Command, options: ProgramOptions): void {
  program
    .command('dev')
    .description('run the gateway and show what happens: changes, errors, and the way of each request')
    .option(CONFIG_OPTION, `the config file (${CONFIG_DEFAULT})`)
    .addHelpText(
      'after',
      '\nExample:\n  cardea dev\n\nA request, as it is shown:\n' +
        '  GET /api/x → route api · auth 0.1 ms ✓ · rate-limit 0.0 ms ✗ 429 · 429 in 0.4 ms',
    )
    .action(async (given: { config?: string }) => {
      const { dev } = await import('./dev.ts')
      const file = configFile(program, given.config)
      options.onExit(await dev({ source: { kind: 'file', file }, ...options }), true)
    })
}

function addConfig(program: Command, options: ProgramOptions): void {
  const config = program.command('config').description('work with config files')
  config
    .command('check')
    .description(
      'report every error of a config file and of its plugins, with its place; where there is none, the plugins are ' +
        'started in a trial process, as before a change',
    )
    .argument('[file]', `the config file (${CONFIG_DEFAULT})`)
    .addHelpText('after', '\nExample:\n  cardea config check cardea.yaml')
    .action(async (file: string | undefined) => {
      const { configCheck } = await import('./config-check.ts')
      options.onExit(await configCheck(configFile(program, file), process), false)
    })
  addConfigDiff(config, options)
}

function addPlugin(program: Command, options: ProgramOptions): void {
  const { io } = options
  const plugin = program.command('plugin').description('work with plugins')
  plugin
    .command('new')
    .description('write a plugin folder that works')
    .argument('<name>', 'kebab-case, such as rate-limit')
    .option('--dir <folder>', 'the plugins directory', 'plugins')
    .addHelpText('after', '\nExample:\n  cardea plugin new hello')
    .action(async (name: string, given: { dir: string }) => {
      const { pluginNew } = await import('./plugin-new.ts')
      options.onExit(await pluginNew(name, { dir: resolve(given.dir), io }), false)
    })
  plugin
    .command('test')
    .description("run a plugin's own tests; without a name those of all plugins in the directory")
    .argument('[name]', 'the plugin, yours or a built-in one')
    .option('--dir <folder>', 'the plugins directory', 'plugins')
    .addHelpText(
      'after',
      '\nIt runs every *.test.ts (.mts, .js, .mjs) in the folder with node:test and the Node that runs the gateway;\n' +
        'several files run in a process each. TypeScript needs no build, and what they import of @cardea/sdk comes with\n' +
        'this program. A test that takes longer than a minute fails, unless it has a `timeout` of its own, and so does a\n' +
        'file that leaves timers or sockets open: ten seconds after its last test it is ended, and told what they are. The\n' +
        'exit code is 0 when all of them passed, 1 when one failed or there are none.' +
        '\n\nExamples:\n  cardea plugin test\n  cardea plugin test hello',
    )
    .action(async (name: string | undefined, given: { dir: string }) => {
      const { pluginTest } = await import('./plugin-test.ts')
      options.onExit(await pluginTest(name ?? null, { dir: resolve(given.dir), io }), false)
    })
  plugin
    .command('list')
    .description(
      'show what each route runs, in order, and the state of each plugin, by the files and the gateway that runs on them',
    )
    .option(CONFIG_OPTION, `the config file (${CONFIG_DEFAULT}, if there is one)`)
    .addHelpText('after', '\nExample:\n  cardea plugin list --config cardea.yaml')
    .action(async (given: { config?: string }) => {
      const { pluginList } = await import('./plugin-list.ts')
      const file = given.config ?? findConfig('.')
      options.onExit(await pluginList({ config: file, io }), false)
    })
  addPluginInspectCommands(plugin, options)
  addPluginChangeCommands(plugin, options)
}

async function runGateway(source: ServeSource, strict: boolean, options: ProgramOptions): Promise<void> {
  const { serve } = await import('./serve.ts')
  options.onExit(await serve({ source, strict, io: options.io }), true)
}

function configFile(program: Command, given: string | undefined): string {
  const file = given === undefined ? findConfig('.') : resolve(given)
  if (file !== null) return file
  return program.error(
    `error: there is no ${CONFIG_NAMES.join(' or ')} in ${process.cwd()}. Name the file, or run cardea --to URL`,
  )
}

function failUnknownCommand(program: Command, given: string): never {
  const nearest = nearestOf(
    given,
    program.commands.map((command) => command.name()),
  )
  const hint = nearest === null ? '' : `\n(Did you mean ${nearest}?)`
  return program.error(`error: unknown command '${given}'${hint}`)
}

function parseUrl(text: string): string {
  const result = parseTarget(text)
  if (result.ok) return text
  const { reason, nearest } = result
  const hint = nearest === null ? '' : ` Did you mean ${nearest}?`
  throw new InvalidArgumentError(`${reason.charAt(0).toUpperCase()}${reason.slice(1)}.${hint}`)
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port <= 65_535) return port
  throw new InvalidArgumentError('It is a number from 0 to 65535.')
}
