import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { CONFIG_NAMES, findConfig } from '../cli/find-config.ts'
import type { CommandIo } from '../cli/io.ts'
import { nearestOf } from '../config/nearest.ts'
import type { ServeSource } from '../protocol/master-supervisor.ts'

/**
 * The command line. Every command ends with exit code 0, or 1 and a sentence on stderr; commands that need no gateway
 * load their code when they run.
 */

const io: CommandIo = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
}

const EXAMPLES = `
Examples:
  cardea --to http://localhost:3000         proxy on port 8080, with the plugins of ./plugins
  cardea serve --config cardea.yaml         proxy as the file says
  cardea config check cardea.yaml           all errors of the file at once
  cardea plugin new hello                   a plugin that works, in ./plugins/hello

Logs go to stderr, as JSON unless it is a terminal. SIGTERM or Ctrl-C: finish what is in flight and end; twice: end now.`

const program = new Command('cardea')
  .description('A reverse proxy whose behaviour is a chain of TypeScript plugins')
  .version(version(), '-V, --version', 'show the version')
  .option('--to <url>', 'proxy every request to this server')
  .option(
    '--port <number>',
    'with --to: the port to listen on, 0 for any free one (default: 8080)',
    parsePort,
  )
  .argument('[command]')
  .usage('--to <url> [--port <number>] | <command>')
  .addHelpText('after', EXAMPLES)
  .showSuggestionAfterError()
  .action(async (command: string | undefined, options: { to?: string; port?: number }) => {
    if (command !== undefined) return failUnknownCommand(command)
    if (options.to === undefined) {
      if (options.port !== undefined)
        program.error('error: --port goes with --to; a config file has its own `listen`')
      return program.help({ error: true })
    }
    const { to: url, port = null } = options
    return runGateway({ kind: 'target', url, port, directory: process.cwd() }, false)
  })

program
  .command('serve')
  .description('run the gateway')
  .option('-c, --config <file>', `the config file (default: ${CONFIG_NAMES.join(', ')} here)`)
  .option('--strict', 'end with exit code 1 when what the files say cannot be served at start')
  .addHelpText('after', '\nExamples:\n  cardea serve\n  cardea serve --config /etc/cardea/cardea.yaml')
  .action(async (options: { config?: string; strict?: true }) => {
    return runGateway({ kind: 'file', file: configFile(options.config) }, options.strict === true)
  })

const config = program.command('config').description('work with config files')
config
  .command('check')
  .description('report every error of a config file and of its plugins, with its place')
  .argument('[file]', `the config file (default: ${CONFIG_NAMES.join(', ')} here)`)
  .addHelpText('after', '\nExample:\n  cardea config check cardea.yaml')
  .action(async (file: string | undefined) => {
    const { configCheck } = await import('../cli/config-check.ts')
    process.exitCode = await configCheck(configFile(file), process)
  })

const plugin = program.command('plugin').description('work with plugins')
plugin
  .command('new')
  .description('write a plugin folder that works')
  .argument('<name>', 'kebab-case, such as rate-limit')
  .option('--dir <folder>', 'the plugins directory', 'plugins')
  .addHelpText('after', '\nExample:\n  cardea plugin new hello')
  .action(async (name: string, options: { dir: string }) => {
    const { pluginNew } = await import('../cli/plugin-new.ts')
    process.exitCode = await pluginNew(name, { dir: resolve(options.dir), io })
  })
plugin
  .command('list')
  .description('show what each route runs, in order, and the state of each plugin')
  .option(
    '-c, --config <file>',
    `the config file (default: ${CONFIG_NAMES.join(', ')} here, if there is one)`,
  )
  .addHelpText('after', '\nExample:\n  cardea plugin list --config cardea.yaml')
  .action(async (options: { config?: string }) => {
    const { pluginList } = await import('../cli/plugin-list.ts')
    const file = options.config ?? findConfig('.')
    process.exitCode = await pluginList({ config: file, io })
  })

async function runGateway(source: ServeSource, strict: boolean): Promise<never> {
  const { serve } = await import('../cli/serve.ts')
  process.exit(await serve({ source, strict, io }))
}

function configFile(given: string | undefined): string {
  const file = given === undefined ? findConfig('.') : resolve(given)
  if (file !== null) return file
  return program.error(
    `error: there is no ${CONFIG_NAMES.join(' or ')} in ${process.cwd()}. Name the file, or run cardea --to URL`,
  )
}

function failUnknownCommand(given: string): never {
  const nearest = nearestOf(
    given,
    program.commands.map((command) => command.name()),
  )
  const hint = nearest === null ? '' : `\n(Did you mean ${nearest}?)`
  return program.error(`error: unknown command '${given}'${hint}`)
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port <= 65_535) return port
  throw new InvalidArgumentError('It is a number from 0 to 65535.')
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

await program.parseAsync()
