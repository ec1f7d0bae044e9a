import { printable } from '../config/render-problems.ts'
import type { ControlEvent } from '../protocol/control.ts'
import type { FaultEvent } from '../protocol/faults.ts'
import { type ChangeTextOptions, changeText, headlineOf } from './change-text.ts'
import { countText, millisecondsText, ownCallsOf, PLAIN, plural, printableLines } from './text.ts'
import { traceText } from './trace-text.ts'

const STACK_LINES_SHOWN_MAX = 6
/** What an assertion of Node says has many. */
const MESSAGE_LINES_SHOWN_MAX = 20

/** An event for the live view, with all that helps; ends with a line break. */
export function eventText(event: ControlEvent, options: ChangeTextOptions): string {
  const { paint, serving } = options
  switch (event.kind) {
    case 'change':
      return changeText(event.report, options)
    case 'trace':
      return `${traceText(event.trace, paint, serving)}\n`
    case 'fault':
      return faultBlock(event.fault, event.worker, options)
    case 'decision':
    case 'worker':
      return `${paint('yellow', eventLine(event, options.directory))}\n`
    case 'skipped':
      return `${paint('dim', eventLine(event, options.directory))}\n`
  }
}

/** An event in one line, for lists. */
export function eventLine(event: ControlEvent, directory: string): string {
  switch (event.kind) {
    case 'change':
      return headlineOf(event.report, { paint: PLAIN, directory, serving: null })
    case 'fault':
      return printable(faultText(event.fault, event.worker))
    case 'decision':
      return printable(`${event.plugin}: ${event.text}`)
    case 'worker':
      return printable(`worker ${event.worker}: ${event.text}`)
    case 'trace':
      return traceText(event.trace, PLAIN, null)
    case 'skipped':
      return `${plural(event.traces, 'request')} more, faster than they can be shown`
  }
}

/** Unix time in milliseconds; null for those that are told as they happen. */
export function timeOf(event: ControlEvent): number | null {
  if (event.kind === 'change') return event.report.at
  return 'at' in event ? event.at : null
}

function faultText(fault: FaultEvent, worker: number): string {
  const { instance } = fault
  switch (fault.kind) {
    case 'failures': {
      const times = fault.count === 1 ? 'failed' : `failed ${countText(fault.count)} times, the last time`
      return `${instance} ${times} in worker ${worker}: ${fault.failure.code} ${fault.failure.message}`
    }
    case 'breaker': {
      const state = `the breaker of ${instance} is ${fault.state} in worker ${worker}`
      return fault.calls === 0 ? state : `${state}: ${fault.faults} of ${fault.calls} calls failed`
    }
    case 'uncaught':
      return `${instance} threw in worker ${worker}, where nobody catches it: ${fault.failure.message}`
    case 'exit':
      return `${instance} tried to end worker ${worker}: ${fault.failure.message}`
    case 'stall': {
      const [innermost] = fault.frames
      const where = innermost === undefined ? '' : ` in ${innermost}`
      return `${instance} blocked worker ${worker} for ${millisecondsText(fault.stalledMs)}${where} and was ended`
    }
  }
}

/** What it was, the line of the plugin where it happened, and how the plugin came there. */
function faultBlock(fault: FaultEvent, worker: number, { paint }: ChangeTextOptions): string {
  const [first = '', ...rest] = printableLines(faultText(fault, worker)).slice(0, MESSAGE_LINES_SHOWN_MAX)
  const { frame, stack } = detailsOf(fault)
  const calls = ownCallsOf(stack, STACK_LINES_SHOWN_MAX)
  return [
    paint('red', first),
    ...rest.map((line) => `    ${line}`),
    ...(frame === null ? [] : printableLines(frame).map((line) => `      ${line}`)),
    ...calls.map((call) => paint('dim', `    ${call}`)),
    '',
  ].join('\n')
}

function detailsOf(fault: FaultEvent): { readonly frame: string | null; readonly stack: string } {
  switch (fault.kind) {
    case 'failures':
    case 'uncaught':
    case 'exit':
      return { frame: fault.failure.frame, stack: fault.failure.stack ?? '' }
    case 'breaker':
      return { frame: null, stack: '' }
    case 'stall':
      return { frame: fault.frame, stack: stackOf(fault.frames.slice(1)) }
  }
}

/** Of those further out: the innermost stands in the first line. */
function stackOf(frames: readonly string[]): string {
  return frames.map((frame) => `    at ${frame}`).join('\n')
}
