import { relative } from 'node:path'
import type { Log } from '@cardea/sdk'
import { messageOf } from '../base/errors.ts'
import { printable } from '../config/render-problems.ts'
import type { ChangeCause, ChangeReport, HeldLoss } from '../protocol/control.ts'
import { heldIdOf, lossText } from './approval.ts'
import type { CommittedParts } from './change.ts'
import type { ChangeFailed, ChangeHeld } from './change-result.ts'

interface Base {
  readonly cause: ChangeCause
  readonly who: string
  /** The generation that serves meanwhile; 0 for none. */
  readonly live: number
}

type Result =
  | { readonly kind: 'unchanged'; readonly heldBack: readonly string[] }
  | { readonly kind: 'committed'; readonly parts: CommittedParts }
  | { readonly kind: 'held'; readonly number: number; readonly held: ChangeHeld }
  | { readonly kind: 'failed'; readonly number: number; readonly failed: ChangeFailed }

/** What became of a change, for log, history and command line. */
export function reportOf({ cause, who, live }: Base, result: Result): ChangeReport {
  const empty = {
    at: Date.now(),
    cause,
    who,
    changes: [],
    started: [],
    carried: [],
    stages: [],
    skewMs: null,
    problems: [],
    held: [],
    heldBack: [],
    heldId: null,
    notices: [],
  }
  switch (result.kind) {
    case 'unchanged':
      return { outcome: 'unchanged', generation: live, ...empty, heldBack: result.heldBack }
    case 'committed':
      return { outcome: 'committed', ...empty, ...result.parts, heldId: heldIdOf(result.parts.held) }
    case 'held':
      return {
        outcome: 'held',
        generation: result.number,
        ...empty,
        changes: result.held.changes,
        held: result.held.losses,
        heldId: heldIdOf(result.held.losses),
      }
    case 'failed':
      return { outcome: 'failed', generation: result.number, ...empty, problems: result.failed.problems }
  }
}

/** What a change came to is a fact: that somebody cannot take the news makes it no other, and hinders no change after it. */
export function tell<Told extends { readonly log: Pick<Log, 'error'> }>(
  told: Told,
  news: (told: Told) => void,
): void {
  try {
    news(told)
  } catch (thrown) {
    const stack = thrown instanceof Error ? thrown.stack : undefined
    told.log.error(`A mistake after a change, which stays as it is: ${messageOf(thrown)}`, { stack })
  }
}

/** Of one change: the log is no list of all that a program wrote wrong. */
const PROBLEMS_LOGGED_MAX = 20

/** One line for each change: what became of it, and what serves. `live`: the generation that serves now; 0 for none. */
export function logReport(log: Log, report: ChangeReport, live: number): void {
  const { outcome, generation, cause, who } = report
  const serving = live === 0 ? 'nothing is served' : `generation ${live} serves on`
  if (outcome === 'committed') {
    const { changes, started, carried, skewMs, heldId } = report
    const stages = Object.fromEntries(report.stages.map(({ stage, ms }) => [stage, ms]))
    log.info(`Generation ${generation} is live: ${changes.join('; ') || 'nothing to be seen differs'}`, {
      cause: cause.kind,
      who,
      started,
      carried,
      stages,
      skewMs,
      ...(heldId === null ? {} : { approved: heldId }),
    })
    for (const notice of report.notices) log.warn(notice)
  } else if (outcome === 'unchanged') {
    log.info(`The files are in order again, ${serving}`, { cause: cause.kind })
  } else if (outcome === 'failed') {
    for (const problem of report.problems.slice(0, PROBLEMS_LOGGED_MAX)) {
      const { code, message, stage, plugin, file, line, column, frame, stack } = problem
      const place = file === '' ? {} : { file, line, column }
      log.error(`The change failed at ${stage}, ${serving}: ${message}`, {
        code,
        stage,
        plugin,
        cause: cause.kind,
        ...place,
        frame,
        stack,
      })
    }
    if (report.problems.length > PROBLEMS_LOGGED_MAX) {
      const more = `these are the first ${PROBLEMS_LOGGED_MAX} problems; "cardea config check" lists more`
      log.error(`The change failed, ${serving}: ${more}`, { cause: cause.kind })
    }
  } else if (outcome === 'held') {
    for (const loss of report.held) {
      const place = loss.kind === 'loss' ? { route: loss.route, to: loss.to, plugin: loss.plugin } : {}
      log.error(`The change is held, ${serving}: ${heldText(loss, approveCommand(report))}`, {
        code: 'CHANGE_HELD',
        cause: cause.kind,
        heldId: report.heldId,
        ...place,
      })
    }
  }
}

function approveCommand({ heldId }: ChangeReport): string {
  return `"cardea approve ${heldId}"`
}

/** `approve`: the command that lets it in. */
function heldText(loss: HeldLoss, approve: string): string {
  if (loss.kind === 'unknown') {
    return `${lossText(loss)}. If what stands in the files is meant, run ${approve}`
  }
  if (loss.kind === 'more') return `${lossText(loss)}. ${approve} lets in all of them`
  const { to, plugin, instead } = loss
  const wayOut =
    instead === null
      ? `Say "${plugin}: false" under the plugins of route "${to}" if that is meant`
      : `If that is meant, give plugin "${instead}" another name on route "${to}" and say "${plugin}: false" there`
  return `${lossText(loss)}. ${wayOut}, or run ${approve}`
}

/** Why a start could not do what the files say, for the person who started it. Ends with a line break. */
export function renderFailure(report: ChangeReport): string {
  const { problems, held } = report
  const failures = problems.map(({ code, message, file, line, column, frame, stack, stage }) => {
    const place = file === '' ? '' : `${shortPath(file)}:${line}:${column} `
    const lines = frame === null ? [] : frame.split('\n').map((text) => `  ${text}`)
    // Where files are wrong the place says it all; where code ran the way there helps.
    const trace = stack === null || stage === 'config' ? [] : [stack]
    return [`${place}${code} ${message}`, ...lines, ...trace]
      .flatMap((text) => text.split('\n'))
      .map(printable)
      .join('\n')
  })
  const approve = `${approveCommand(report)} while the gateway runs`
  const losses = held.map((loss) => `CHANGE_HELD ${heldText(loss, approve)}`)
  return `${[...failures, ...losses].join('\n\n')}\n`
}

function shortPath(file: string): string {
  const short = relative(process.cwd(), file)
  return short === '' || short.startsWith('..') ? file : short
}
