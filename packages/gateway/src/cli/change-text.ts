import { NAMES_SHOWN_MAX, someOf } from '../base/some-of.ts'
import { printable, shortPath } from '../config/render-problems.ts'
import {
  type ChangeCause,
  type ChangeProblem,
  type ChangeReport,
  type ChangeWait,
  firstCause,
  type HeldLoss,
  heldText,
  type LostPlugin,
  type PinStatus,
} from '../protocol/control.ts'
import { HARMS } from '../protocol/faults.ts'
import { agoText, callsOf, countText, millisecondsText, type Paint, printableLines } from './text.ts'

export interface ChangeTextOptions {
  readonly paint: Paint
  /** Files are shown relative to it. */
  readonly directory: string
  /** The generation that serves now; 0: none does; null: not known here. */
  readonly serving: number | null
}

/** More are counted: the first ones say what to do. */
const PROBLEMS_SHOWN_MAX = 20
const STACK_LINES_SHOWN_MAX = 6
const LABEL_WIDTH = 10

/** What became of a change, for people: what it came to in the first line, and all that helps below it. */
export function changeText(report: ChangeReport, options: ChangeTextOptions): string {
  const { paint } = options
  const lines = [headlineOf(report, options), `  ${label('cause', paint)}${causeOf(report, options)}`]
  if (report.outcome === 'failed') lines.push(...problemLines(report.problems, options))
  if (report.outcome === 'held') lines.push(...heldLines(report))
  if (report.outcome === 'committed') lines.push(...committedLines(report, paint))
  if (report.outcome === 'held') lines.push(...labelled('changes', report.changes, paint))
  lines.push(...labelled('note', report.notices, paint), ...afterwards(report))
  return `${lines.join('\n')}\n`
}

/** Why a change was tried: `saved plugins/auth/plugin.ts`, `rollback to generation 12`. */
export function causeText(cause: ChangeCause, directory: string): string {
  switch (cause.kind) {
    case 'start':
      return 'start'
    case 'recovery':
      return 'the supervisor was started anew'
    case 'files': {
      const files = cause.files.map((file) => printable(shortPath(directory, file)))
      return files.length === 0 ? 'a look at the files after a command' : `saved ${someOf(files, 3)}`
    }
    case 'rollback':
      return `rollback to generation ${cause.generation}`
    case 'plugin-rollback':
      return `rollback of ${cause.plugin} to ${cause.version}`
    case 'enable':
    case 'disable':
    case 'reload':
      return `${cause.kind} ${cause.plugin}`
    case 'approve':
      return cause.of === undefined ? 'approve' : `approve: ${causeText(cause.of, directory)}`
    case 'release':
      return cause.unit === null ? 'release' : `release ${cause.unit}`
    case 'probation':
      return `${cause.plugin} was taken back to ${cause.version}: the new version failed`
    case 'restart':
      return `${cause.plugin} was made anew: its breaker opened`
    case 'quarantine':
      return `${cause.plugin} was quarantined: it ${cause.harm === undefined ? 'blocked a worker' : HARMS[cause.harm]}`
  }
}

/** What runs in another form than it stands on disk, and how to end that. */
export function pinText({ unit, runs, since, who }: PinStatus, now: number): string {
  const what = unit === 'config' ? 'the config' : `plugin ${unit}`
  return printable(
    `${what} ${heldText(runs)}, since ${agoText(since, now)} (${who}); ` +
      `"cardea release ${unit}" or a change of its files ends that`,
  )
}

/** What a change waits for that has no room, and what ends that; without a line break. */
export function waitText(wait: ChangeWait, directory: string): string {
  const { cause, generation, streams, generationsLiveMax } = wait
  const what = generation === null ? 'the oldest generation' : `generation ${generation}`
  const held = streams.length === 0 ? '' : ` (${someOf(streams, 3)})`
  return printable(
    `"${causeText(cause, directory)}" waits for ${what} to end${held}: ${generationsLiveMax} generations are alive ` +
      '(changes.generations_live_max). What runs on it ends when its client or upstream ends it, or by changes.stream_deadline: ' +
      'a save that sets that, or raises the other, does not wait.',
  )
}

/** `generation 14 serves on`, in lower case since it stands within sentences. */
export function servingText(serving: number | null): string {
  if (serving === null) return 'nothing of it is live'
  return serving === 0
    ? 'nothing can be served, requests are answered 503'
    : `generation ${serving} serves on`
}

/** What it came to, in one line. */
export function headlineOf(report: ChangeReport, { paint, serving }: ChangeTextOptions): string {
  switch (report.outcome) {
    case 'committed': {
      const total = report.stages.find(({ stage }) => stage === 'total')
      const time = total === undefined ? '' : ` after ${millisecondsText(total.ms)}`
      const what = report.changes.length === 0 ? unseenText(report) : someOf(report.changes, 1)
      return `${paint('green', `Generation ${report.generation} is live`)}${time}: ${printable(what)}`
    }
    case 'unchanged':
      return `Nothing changed: ${alreadyText(report)}generation ${report.generation} serves on`
    case 'failed': {
      const stage = report.problems[0]?.stage ?? 'config'
      return `${paint('red', `The change failed at ${stage}`)}: ${servingText(serving)}`
    }
    case 'held':
      return `${paint('yellow', 'The change is held')}: ${servingText(serving)}`
  }
}

/** What a generation is for that runs as the one before did. */
function unseenText({ cause }: ChangeReport): string {
  if (cause.kind === 'disable')
    return `plugin "${cause.plugin}" ran nowhere, and will not until it is enabled`
  if (cause.kind === 'enable') return `plugin "${cause.plugin}" is not disabled any more, and runs nowhere`
  return 'nothing to be seen differs'
}

function alreadyText({ cause }: ChangeReport): string {
  if (cause.kind === 'disable') return `plugin "${printable(cause.plugin)}" is disabled already, and `
  if (cause.kind === 'enable') {
    const elsewhere = 'where it is off, its plugin.json or the config says so'
    return `no command had disabled plugin "${printable(cause.plugin)}" (${elsewhere}), and `
  }
  const asked = firstCause(cause)
  if (asked.kind === 'rollback') return `what generation ${asked.generation} was is what serves already, and `
  if (asked.kind === 'plugin-rollback') {
    return `plugin "${printable(asked.plugin)}" is at ${printable(asked.version)} already, and `
  }
  return ''
}

function causeOf({ cause, who }: ChangeReport, { directory }: ChangeTextOptions): string {
  // Nobody knows who saved a file.
  const by = cause.kind === 'files' || who === 'gateway' ? '' : `, by ${who}`
  return printable(`${causeText(cause, directory)}${by}`)
}

function committedLines(report: ChangeReport, paint: Paint): string[] {
  const { changes, started, carried, stages, skewMs } = report
  // One change stands in the first line already.
  const lines = changes.length > 1 ? labelled('changes', changes, paint) : []
  lines.push(...labelled('approved', report.held.map(approvedText), paint))
  const instances = `made anew: ${namesText(started)}; carried over: ${namesText(carried)}`
  lines.push(...labelled('instances', [instances], paint))
  const parts = stages.filter(({ stage }) => stage !== 'total')
  const times = parts.map(({ stage, ms }) => `${stage} ${millisecondsText(ms)}`)
  if (skewMs !== null) times.push(`skew between workers ${millisecondsText(skewMs)}`)
  if (times.length > 0) lines.push(...labelled('time', [times.join(' · ')], paint))
  return lines
}

function namesText(names: readonly string[] | number): string {
  if (typeof names === 'number') return countText(names)
  return names.length === 0 ? 'none' : someOf(names, NAMES_SHOWN_MAX)
}

function approvedText(loss: HeldLoss): string {
  switch (loss.kind) {
    case 'unknown':
      return loss.reason
    case 'more':
      return `and ${loss.count} more`
    case 'loss':
      return `route ${loss.route} loses security plugin ${loss.plugin}: ${loss.reason}`
  }
}

function problemLines(problems: readonly ChangeProblem[], options: ChangeTextOptions): string[] {
  const shown = problems
    .slice(0, PROBLEMS_SHOWN_MAX)
    .flatMap((problem) => ['', ...problemBlock(problem, options)])
  const more = problems.length - PROBLEMS_SHOWN_MAX
  return more > 0 ? [...shown, '', `  and ${more} more problems`] : shown
}

export function problemBlock(
  problem: ChangeProblem,
  { paint, directory }: Pick<ChangeTextOptions, 'paint' | 'directory'>,
): string[] {
  const { file, line, column, code, message } = problem
  const place = file === '' ? '' : `${printable(`${shortPath(directory, file)}:${line}:${column}`)} `
  const [first = '', ...rest] = printableLines(message)
  const lines = [`${paint('bold', place)}${paint('red', code)} ${first}`, ...rest]
  if (problem.frame !== null) lines.push(...printableLines(problem.frame).map((text) => `  ${text}`))
  if (problem.stack !== null)
    lines.push(...callsOf(problem.stack, STACK_LINES_SHOWN_MAX).map((text) => paint('dim', `  ${text}`)))
  return lines.map((text) => `  ${text}`)
}

/** What was asked for, whatever stands in the files. */
const COMMANDS: ReadonlySet<ChangeCause['kind']> = new Set([
  'rollback',
  'plugin-rollback',
  'enable',
  'disable',
  'reload',
])

function heldLines({ held, heldId, cause }: ChangeReport): string[] {
  const approve = `"cardea approve ${heldId}"`
  const unknown = held.flatMap((loss) => (loss.kind === 'unknown' ? [`  ${printable(loss.reason)}`] : []))
  if (unknown.length > 0) return [...unknown, `  If what stands in the files is meant: run ${approve}.`]
  const losses = held.filter((loss) => loss.kind === 'loss')
  const lines = losses.map(({ route, plugin, reason }) =>
    printable(`  route ${route} would lose security plugin ${plugin}: ${reason}`),
  )
  for (const loss of held) {
    if (loss.kind === 'more') lines.push(`  and ${loss.count} more, which ${approve} lets in too`)
  }
  return [
    ...lines,
    ...wayOutLines(losses, approve),
    COMMANDS.has(firstCause(cause).kind)
      ? '  If not: nothing is to be done.'
      : '  If not: mend the files; nothing else is needed.',
  ]
}

/** What to write where, should the losses be meant. */
function wayOutLines(losses: readonly LostPlugin[], approve: string): string[] {
  const byName = Map.groupBy(losses, ({ plugin }) => printable(plugin))
  const entries = Array.from(byName, ([name, lost]) => {
    const routes = [...new Set(lost.map(({ to }) => printable(to)))]
    const which = `${routes.length === 1 ? 'route' : 'routes'} ${someOf(routes, NAMES_SHOWN_MAX)}`
    return `"${name}: false" under \`plugins:\` of ${which}`
  })
  const taken = new Set(losses.flatMap(({ plugin, instead }) => (instead === null ? [] : [`"${plugin}"`])))
  const lines = [`  If that is meant: write ${someOf(entries, 3)}, or run ${approve}.`]
  if (taken.size > 0) {
    const names = printable(someOf([...taken], NAMES_SHOWN_MAX))
    lines.push(`  Before that, what runs as ${names} there now needs another name.`)
  }
  return lines
}

/** What somebody who went back should know. */
function afterwards({ outcome, heldBack = [], ...report }: ChangeReport): string[] {
  const cause = firstCause(report.cause)
  // Asked for once more, the files are held as before.
  const isAgain = outcome === 'unchanged' && (cause.kind === 'rollback' || cause.kind === 'plugin-rollback')
  if (outcome !== 'committed' && !isAgain) return []
  switch (cause.kind) {
    case 'rollback':
      if (heldBack.length === 0) return []
      return [
        `  What differs on disk is held until it changes: ${printable(someOf(heldBack, NAMES_SHOWN_MAX))}; ` +
          '"cardea release" lets it in as it is.',
      ]
    case 'plugin-rollback':
    case 'probation':
      if (!heldBack.includes(cause.plugin)) return []
      return [
        `  What stands on disk of ${printable(cause.plugin)} is held until it changes; ` +
          `"cardea release ${printable(cause.plugin)}" lets it in as it is.`,
      ]
    case 'disable':
      return [`  "cardea plugin enable ${printable(cause.plugin)}" takes it back in.`]
    case 'quarantine':
      return [
        `  "cardea plugin reload ${printable(cause.plugin)}" runs it again; so does a change of its files.`,
      ]
    default:
      return []
  }
}

/** The label once, its texts below one another. */
function labelled(name: string, texts: readonly string[], paint: Paint): string[] {
  return texts.map((text, index) => `  ${label(index === 0 ? name : '', paint)}${printable(text)}`)
}

function label(name: string, paint: Paint): string {
  const padded = name.padEnd(LABEL_WIDTH)
  return name === '' ? padded : paint('dim', padded)
}
