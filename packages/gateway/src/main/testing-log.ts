import type { Log } from '@cardea/sdk'

/** One line that the gateway or a plugin logged. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  /** With `plugin`, `requestId` and `route` where they are known. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** A log that keeps its lines. Fields are cloned: a plugin may live in another process than the log. */
export class LogRecorder implements Log {
  readonly lines: LogLine[] = []

  debug(message: string, fields?: LogLine['fields']): void {
    this.#keep('debug', message, fields)
  }

  info(message: string, fields?: LogLine['fields']): void {
    this.#keep('info', message, fields)
  }

  warn(message: string, fields?: LogLine['fields']): void {
    this.#keep('warn', message, fields)
  }

  error(message: string, fields?: LogLine['fields']): void {
    this.#keep('error', message, fields)
  }

  #keep(level: LogLine['level'], message: string, fields: LogLine['fields'] = {}): void {
    this.lines.push({ level, message, fields: structuredClone(fields) })
  }
}
