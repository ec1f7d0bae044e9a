import { isValid, type Results, type Row, spreadOf } from './results.ts'
import { SCENARIOS } from './scenarios.ts'
import type { Spread } from './statistics.ts'

/** The chart: one panel of horizontal bars per scenario, on its own scale. Readable on light and dark pages. */

const WIDTH = 760
const MARGIN = 16
const LABEL_WIDTH = 170
const VALUE_WIDTH = 90
const BAR_HEIGHT = 16
const ROW_HEIGHT = 24
const TITLE_HEIGHT = 34
const HEAD_HEIGHT = 56
const PLOT_WIDTH = WIDTH - 2 * MARGIN - LABEL_WIDTH - VALUE_WIDTH

const STYLE = `
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 14px }
  .head { font-weight: 600; font-size: 17px }
  .quiet { fill: #59636e; font-size: 12px }
  .page { fill: #ffffff }
  .peer { fill: #9aa4b2 }
  .own { fill: #c2410c }
  .spread { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .page { fill: #0d1117 }
    .peer { fill: #59636e }
    .own { fill: #fb923c }
    .spread { stroke: #e6edf3 }
  }`

/** An SVG document. Rows that are invalid or unmeasured are left out. */
export function chart(results: Results): string {
  const panels = SCENARIOS.filter(({ builtIn }) => builtIn === null)
    .map(({ name, title }) => {
      const rows = results.rows.filter((row) => row.scenario === name)
      return { title, bars: rows.flatMap(toBar).sort((a, b) => a.cpu.median - b.cpu.median) }
    })
    .filter(({ bars }) => bars.length > 0)
  const parts: string[] = []
  let top = HEAD_HEIGHT
  for (const panel of panels) {
    parts.push(drawPanel(panel.title, panel.bars, top))
    top += TITLE_HEIGHT + panel.bars.length * ROW_HEIGHT
  }
  const height = top + MARGIN
  const { timing, machine } = results
  const how = `Median of ${timing.repeats} runs, whiskers: lowest and highest. ${machine.cpu}. ${results.startedAt.slice(0, 10)}.`
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="CPU time per request of Cardea and other proxies">
<style>${STYLE}
</style>
<rect class="page" width="${WIDTH}" height="${height}" rx="8"/>
<text class="head" x="${MARGIN}" y="28">CPU microseconds per request (less is better)</text>
<text class="quiet" x="${MARGIN}" y="47">${escapeXml(how)}</text>
${parts.join('\n')}
</svg>
`
}

interface Bar {
  readonly title: string
  readonly own: boolean
  readonly cpu: Spread
}

function toBar(row: Row): Bar[] {
  const cpu = isValid(row) ? spreadOf(row, 'cpuMicrosecondsPerRequest') : null
  return cpu === null ? [] : [{ title: row.title, own: row.peer === 'cardea', cpu }]
}

function drawPanel(title: string, bars: readonly Bar[], top: number): string {
  const most = Math.max(...bars.map(({ cpu }) => cpu.max))
  const scale = (value: number) => (most === 0 ? 0 : (value / most) * PLOT_WIDTH)
  const left = MARGIN + LABEL_WIDTH
  const lines = [`<text class="title" x="${MARGIN}" y="${top + 24}">${escapeXml(title)}</text>`]
  bars.forEach((bar, at) => {
    const y = top + TITLE_HEIGHT + at * ROW_HEIGHT
    const middle = y + BAR_HEIGHT / 2
    const from = (left + scale(bar.cpu.min)).toFixed(1)
    const to = left + scale(bar.cpu.max)
    const text = `y="${middle + 4.5}"`
    lines.push(
      `<text x="${left - 8}" ${text} text-anchor="end">${escapeXml(bar.title)}</text>`,
      `<rect class="${bar.own ? 'own' : 'peer'}" x="${left}" y="${y}" width="${scale(bar.cpu.median).toFixed(1)}" height="${BAR_HEIGHT}" rx="2"/>`,
      `<line class="spread" x1="${from}" y1="${middle}" x2="${to.toFixed(1)}" y2="${middle}"/>`,
      `<text x="${(to + 8).toFixed(1)}" ${text}>${round(bar.cpu.median)}</text>`,
    )
  })
  return lines.join('\n')
}

function round(microseconds: number): string {
  return microseconds < 100 ? microseconds.toFixed(1) : Math.round(microseconds).toLocaleString('en')
}

function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
