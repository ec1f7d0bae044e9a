import type { Log } from '@cardea/sdk'
import { ERRORS, type ErrorCode } from '../base/errors.ts'
import { RareLines } from './rare-lines.ts'
import type { Sweeper } from './sweeper.ts'

/** A request, or a client, that was answered before any plugin could see it. */
export interface Refusal {
  readonly code: ErrorCode
  /** A sentence of ours, without anything that the client sent. */
  readonly detail: string
  readonly clientIp: string
  readonly requestId: string
}

/** Tells the operator what was refused and why, since no plugin hears of it. Codes are told of apart (see `RareLines`). */
export class RefusalLog {
  readonly #lines: RareLines<Refusal>

  constructor(log: Log, sweeper: Sweeper) {
    this.#lines = new RareLines(sweeper, (latest, count) => write(log, latest, count))
  }

  note(refusal: Refusal): void {
    this.#lines.note(refusal.code, refusal)
  }

  /** Tells what is still left to tell. */
  report(): void {
    this.#lines.report()
  }
}

function write(log: Log, latest: Refusal, count: number): void {
  const { source, title } = ERRORS[latest.code]
  const text = `${count === 1 ? 'A request was' : `${count} requests were`} refused: ${title}`
  const fields = { ...latest, count }
  // What clients do wrong is no trouble of the gateway's.
  if (source === 'client') log.info(text, fields)
  else log.warn(text, fields)
}
