import type { PluginTiming } from '@cardea/sdk'
import { printable } from '../config/render-problems.ts'
import type { ExchangeTrace } from '../protocol/trace.ts'
import { millisecondsText, type Paint } from './text.ts'

const URL_LENGTH_MAX = 100

/**
 * An exchange's way in one line:
 * `GET /api/x → route api · auth 0.1 ms ✓ · rate-limit 0.0 ms ✗ 429 · 429 in 0.4 ms`
 *
 * @param live the generation that serves now: an exchange on another one says so. Null: not known.
 */
export function traceText(trace: ExchangeTrace, paint: Paint, live: number | null): string {
  const { method, url, route, plugins, target, upstreamMs, generation } = trace
  const shown = url.length <= URL_LENGTH_MAX ? url : `${url.slice(0, URL_LENGTH_MAX - 1)}…`
  const where = route === null ? 'no route' : `route ${printable(route)}`
  const old = live === null || generation === live ? '' : ` of generation ${generation}`
  const steps = [`${paint('bold', printable(`${method} ${shown}`))} → ${where}${old}`]
  for (const plugin of plugins) steps.push(pluginText(plugin, trace, paint))
  if (target !== null) steps.push(`${printable(target)} ${millisecondsText(upstreamMs)}`)
  steps.push(endText(trace, paint))
  return steps.join(paint('dim', ' · '))
}

/** `auth 0.1 ms ✓`; of a plugin that looks at the response too, both times. */
function pluginText(
  { name, handle, onResponse, outcome }: PluginTiming,
  trace: ExchangeTrace,
  paint: Paint,
): string {
  const shown = printable(name)
  const time =
    onResponse === 0 ? millisecondsText(handle) : `${handle.toFixed(1)} + ${millisecondsText(onResponse)}`
  switch (outcome) {
    case 'passed':
      return `${shown} ${time} ${paint('green', '✓')}`
    case 'answered':
      // It may as well have answered from a cache: only a refusal is one.
      return trace.status >= 400
        ? `${shown} ${time} ${paint('red', `✗ ${trace.status}`)}`
        : `${shown} ${time} ${paint('cyan', `answers ${trace.status}`)}`
    case 'failed':
      return `${shown} ${time} ${paint('red', '✗ failed')}`
    case 'skipped':
      return paint('dim', `${shown} skipped`)
  }
}

function endText({ status, totalMs, error, aborted }: ExchangeTrace, paint: Paint): string {
  const time = `in ${millisecondsText(totalMs)}`
  const why = error === null ? '' : ` ${paint('red', printable(error))}`
  if (aborted) return `${paint('yellow', 'the client went away')} ${time}${why}`
  return `${paint(styleOf(status), `${status}`)} ${time}${why}`
}

function styleOf(status: number): 'green' | 'cyan' | 'yellow' | 'red' {
  if (status >= 500) return 'red'
  if (status >= 400) return 'yellow'
  return status >= 300 ? 'cyan' : 'green'
}
