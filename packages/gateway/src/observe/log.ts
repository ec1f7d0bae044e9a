import { createRequire } from 'node:module'
import type { Log } from '@cardea/sdk'
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'
import type pretty from 'pino-pretty'
import { NAMES_SHOWN_MAX, someOf } from '../base/some-of.ts'
import { printable } from '../config/render-problems.ts'
import type { GatewaySettings } from '../protocol/generation.ts'
import { stderrLines } from './line-writer.ts'
import { redactFields, shorten } from './redact.ts'

/**
 * Logs go to stderr: a line is written as a whole, whatever the process, so that lines of several processes never mix. stdout
 * belongs to what a person asked for (`cardea serve`'s start lines, `cardea plugin list`).
 */

export type LogSettings = GatewaySettings['log']

/** Until the config file has been read. */
export const LOG_SETTINGS_DEFAULT: LogSettings = { level: 'info', format: 'auto' }

export type ProcessRole = 'master' | 'supervisor' | 'worker' | 'trial'

export interface LogOptions {
  readonly settings: LogSettings
  readonly process: ProcessRole
  /** Only a worker has one. */
  readonly workerNumber?: number
  /** Where lines go; default stderr. */
  readonly stream?: DestinationStream
}

/** The log of a process. Its settings can change while others hold it. */
export interface GatewayLog extends Log {
  apply(settings: LogSettings): void
  /** For the lines of plugins. */
  readonly plugins: Log
  /** For what a control event tells too: nothing is written where somebody is shown those. */
  readonly events: Log
}

/** The log of this process. Fields are redacted and bounded (see redact.ts) before they are written. */
export function createLog(options: LogOptions): GatewayLog {
  let loggers = createLoggers(options, options.settings)
  let applied = options.settings
  if (options.stream === undefined) speakForProcess(() => loggers.own)
  return {
    ...adapt(() => loggers.own),
    plugins: adapt(() => loggers.plugins),
    events: adapt(() => loggers.events),
    apply(settings) {
      if (isEqual(settings, applied)) return
      applied = settings
      loggers = createLoggers(options, settings)
    },
  }
}

/** Of the log that was made last. */
let ownLogger: (() => Logger) | null = null

/** What a process has to say of itself is said in its log: that lines were lost, and what Node warns of. */
function speakForProcess(logger: () => Logger): void {
  const isFirst = ownLogger === null
  ownLogger = logger
  if (!isFirst) return
  stderrLines.onLost = (...counts) => tellLost(ownLogger?.(), ...counts)
  // There is none where whoever started us wants no warnings. Node's own would wait for who reads stderr.
  if (process.listenerCount('warning') === 0) return
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message, stack }) => {
    ownLogger?.().warn({ warning: name, stack }, shorten(`Node warns: ${message}`))
  })
}

/** An error whatever was lost: errors may be among it, and are all that some logs have. */
function tellLost(logger: Logger | undefined, lost: number, lostInAll: number): void {
  const lines = lost === 1 ? '1 line was' : `${lost} lines were`
  logger?.error({ lost, lostInAll }, `Here ${lines} lost: they could not be written in time`)
}

function isEqual(one: LogSettings, other: LogSettings): boolean {
  const { level, format, pluginLevel } = one
  return level === other.level && format === other.format && pluginLevel === other.pluginLevel
}

interface Loggers {
  readonly own: Logger
  readonly plugins: Logger
  readonly events: Logger
}

function createLoggers(options: LogOptions, settings: LogSettings): Loggers {
  const own = createLogger(options, settings)
  const { pluginLevel } = settings
  if (pluginLevel === undefined) return { own, plugins: own, events: own }
  return {
    own,
    plugins: own.child({}, { level: pluginLevel }),
    events: own.child({}, { level: 'silent' }),
  }
}

function createLogger(options: LogOptions, settings: LogSettings): Logger {
  const { workerNumber } = options
  const base = {
    pid: process.pid,
    process: options.process,
    ...(workerNumber === undefined ? {} : { worker: workerNumber }),
  }
  return pino(
    {
      level: settings.level,
      base,
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.stream ?? stderrStream(settings),
  )
}

function adapt(current: () => Logger): Log {
  const line =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields?: Readonly<Record<string, unknown>>): void => {
      const logger = current()
      if (!logger.isLevelEnabled(level)) return
      if (fields === undefined) logger[level](shorten(message))
      else logger[level](withoutOurNames(redactFields(fields)), shorten(message))
    }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}

/** JSON with a repeated key is read differently by different readers: what a caller calls `level` is kept apart. */
const OUR_NAMES = ['level', 'time', 'pid', 'process', 'worker', 'message'] as const

function withoutOurNames(fields: Record<string, unknown>): Record<string, unknown> {
  for (const name of OUR_NAMES) {
    if (!Object.hasOwn(fields, name)) continue
    const { [name]: value, ...rest } = fields
    return withoutOurNames({ ...rest, [`${name}_`]: value })
  }
  return fields
}

function stderrStream(settings: LogSettings): DestinationStream {
  const isPretty =
    settings.format === 'pretty' || (settings.format === 'auto' && process.stderr.isTTY === true)
  if (!isPretty) return { write: (line) => stderrLines.write(line) }
  // Loaded only for terminals: no worker in production holds it.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof pretty
  const readable = prettyFactory({
    colorize: process.stderr.isTTY === true && !process.env.NO_COLOR,
    messageKey: 'message',
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,process,worker',
    customPrettifiers: { stack: linesOf, frame: linesOf, started: namesOf, carried: namesOf },
    messageFormat: (line, messageKey) => `${roleOf(line)} ${line[messageKey]}`,
  })
  return { write: (line) => stderrLines.write(readable(line)) }
}

/** Text that is nothing on one line: on lines of its own. Whose text it is nobody knows. */
function linesOf(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value) ?? ''
  return `\n${value.split(/\r?\n/).map(printable).join('\n')}`
}

/** Of the instances of a change: one below the other they would hide what is said of it. */
function namesOf(value: unknown): string {
  const isNames = Array.isArray(value) && value.every((item) => typeof item === 'string')
  if (!isNames) return JSON.stringify(value) ?? ''
  return value.length === 0 ? 'none' : printable(someOf(value, NAMES_SHOWN_MAX))
}

function roleOf(line: Readonly<Record<string, unknown>>): string {
  return line.worker === undefined ? `[${line.process}]` : `[worker ${line.worker}]`
}
