import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ChangeReport } from '../packages/gateway/src/protocol/control.ts'
import { ChangeWatch } from '../tests/support/change-watch.ts'
import type { Verdict } from './bars.ts'
import { Poller } from './changes/poller.ts'
import { now } from './changes/polling.ts'
import { readTreeCpu } from './proc.ts'
import { freePort, startPinned } from './processes.ts'
import { table } from './report.ts'
import { percentile } from './statistics.ts'

const BIN = fileURLToPath(new URL('../packages/gateway/bin/cardea.js', import.meta.url))
const PLUGINS = new URL('plugins/', import.meta.url)
/** What the plugins that stand still are copies of. */
const MODELS = ['tenant', 'client-kind', 'language', 'cache-hint', 'frame-options']
const PLUGIN_COUNT = 20
const WORKERS = 2
/**
 * Changes before the first that counts: the first builds, trials and stages run code that is not compiled yet, and V8
 * compiles it on the cores that requests need. *Measured*: of 1,000 changes the p99 of requests is 2.7 ms in the first
 * tenth and 1.5 to 2 ms from the second on; the requests without changes come last, when all that is over.
 */
const WARM_UP_CHANGES = 100
/** One change of this many is one of config, the others are of code. */
const CONFIG_EVERY = 5
const BARS = { medianMs: 100, p99Ms: 300, skewP99Ms: 50, requestRatio: 2 }

export interface ChangesBench {
  readonly changes: number
  readonly signal: AbortSignal
  say(line: string): void
}

/** All in milliseconds, one value a change or a request. */
export interface ChangesResult {
  /** From just before the save to the first answer that was made by what was saved. */
  readonly toFirstAnswer: readonly number[]
  /** Between the workers' swaps. */
  readonly skew: readonly number[]
  /** By stage, in the order they ran. */
  readonly stages: ReadonlyMap<string, readonly number[]>
  readonly requestsQuiet: readonly number[]
  readonly requestsChanging: readonly number[]
  /** CPU time of all the gateway's processes for one change, what requests need left out. */
  readonly cpuPerChangeMs: number
}

interface Saved {
  readonly code: number
  readonly config: number
}

/**
 * Saves files of a gateway with 20 plugins and two workers, one change after the other, while a client asks over one
 * connection. Gateway and client share all cores: esbuild, the trial and the workers are processes of their own.
 */
export async function measureChanges({ changes, signal, say }: ChangesBench): Promise<ChangesResult> {
  await using cleanUp = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'cardea-bench-'))
  cleanUp.defer(() => rm(directory, { recursive: true, force: true }))
  const port = await freePort()
  await writeSite(directory, port)
  const args = [BIN, 'serve', '--config', join(directory, 'cardea.yaml')]
  const gateway = cleanUp.use(
    await startPinned({ command: process.execPath, args }, { core: '0-1', directory }),
  )
  const poller = cleanUp.use(await Promise.race([Poller.start(port), gateway.died]))
  const watch = cleanUp.use(await ChangeWatch.start(directory))
  let saved: Saved = { code: 0, config: 0 }
  const change = async (): Promise<{ readonly report: ChangeReport; readonly ms: number }> => {
    signal.throwIfAborted()
    const isConfig = (saved.code + saved.config) % CONFIG_EVERY === CONFIG_EVERY - 1
    saved = isConfig ? { ...saved, config: saved.config + 1 } : { ...saved, code: saved.code + 1 }
    let savedAt = 0
    const report = await watch.change(async () => {
      savedAt = now()
      if (isConfig) await writeFile(join(directory, 'cardea.yaml'), configText(port, saved.config))
      else await writeFile(join(directory, 'plugins/stamp/plugin.ts'), stampText(saved.code))
    })
    return { report, ms: (await poller.firstAt(markOf(saved))) - savedAt }
  }
  for (let index = 0; index < WARM_UP_CHANGES; index++) await change()
  const reports: ChangeReport[] = []
  const toFirstAnswer: number[] = []
  await poller.takeLatencies()
  const cpuBefore = await readTreeCpu(gateway.pid)
  for (let index = 0; index < changes; index++) {
    const { report, ms } = await change()
    reports.push(report)
    toFirstAnswer.push(ms)
    if ((index + 1) % 100 === 0) say(`${index + 1} changes`)
  }
  const requestsChanging = await poller.takeLatencies()
  const cpuBetween = await readTreeCpu(gateway.pid)
  const requestsQuiet = await poller.latenciesOf(requestsChanging.length)
  const cpuQuiet = (await readTreeCpu(gateway.pid)) - cpuBetween
  const cpuOfRequests = (cpuQuiet / requestsQuiet.length) * requestsChanging.length
  return {
    toFirstAnswer,
    skew: reports.flatMap(({ skewMs }) => skewMs ?? []),
    stages: stagesOf(reports),
    requestsQuiet,
    requestsChanging,
    cpuPerChangeMs: (cpuBetween - cpuBefore - cpuOfRequests) / 1e6 / changes,
  }
}

function stagesOf(reports: readonly ChangeReport[]): Map<string, number[]> {
  const stages = new Map<string, number[]>()
  for (const { stage, ms } of reports.flatMap((report) => report.stages)) {
    const known = stages.get(stage)
    if (known === undefined) stages.set(stage, [ms])
    else known.push(ms)
  }
  return stages
}

/** Twenty plugins, `stamp` being the one that changes. */
async function writeSite(directory: string, port: number): Promise<void> {
  for (let index = 1; index < PLUGIN_COUNT; index++) {
    const model = new URL(`${MODELS[index % MODELS.length]}/`, PLUGINS)
    const name = `plugin-${index}`
    const folder = join(directory, 'plugins', name)
    await cp(model, folder, { recursive: true })
    const manifest = JSON.parse(await readFile(join(folder, 'plugin.json'), 'utf8')) as object
    await writeFile(join(folder, 'plugin.json'), JSON.stringify({ ...manifest, name }))
    const file = join(folder, 'plugin.ts')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(/name: '[a-z-]+'/, `name: '${name}'`))
  }
  const stamp = join(directory, 'plugins/stamp')
  await mkdir(stamp, { recursive: true })
  const schema = { type: 'object', properties: { value: { type: 'integer' } } }
  const manifest = { name: 'stamp', version: '1.0.0', config: { value: 0 }, config_schema: schema }
  await writeFile(join(stamp, 'plugin.json'), JSON.stringify(manifest))
  await writeFile(join(stamp, 'plugin.ts'), stampText(0))
  await writeFile(join(directory, 'cardea.yaml'), configText(port, 0))
}

function stampText(code: number): string {
  return `import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main<{ value: number }> = ({ value }) => ({
  name: 'stamp',
  handle(ctx) {
    ctx.response.headers.set('x-mark', '${code}.' + value)
    return true
  },
})
`
}

function configText(port: number, value: number): string {
  return `listen: [{ host: 127.0.0.1, port: ${port} }]
workers: ${WORKERS}
log: { level: warn }
routes:
  - { name: all, path: "/*", respond: { status: 200, body: ok } }
plugins:
  stamp: { config: { value: ${value} } }
`
}

/** What the plugin `stamp` puts on an answer. */
function markOf({ code, config }: Saved): string {
  return `${code}.${config}`
}

/** Markdown. */
export function reportChanges(result: ChangesResult): string {
  const row = (title: string, values: readonly number[]): string[] => [
    title,
    ...[0.5, 0.9, 0.99, 1].map((share) => show(percentile(values, share))),
  ]
  const rows = [
    row('save to first answer', result.toFirstAnswer),
    ...[...result.stages].map(([stage, values]) => row(`stage ${stage}`, values)),
    row('between the workers', result.skew),
    row('a request, no changes', result.requestsQuiet),
    row('a request, changes all the time', result.requestsChanging),
  ]
  const lines = table(['ms', 'median', 'p90', 'p99', 'most'], rows)
  const what = `${result.toFirstAnswer.length} changes, ${PLUGIN_COUNT} plugins, ${WORKERS} workers`
  const cpu = `CPU time of all processes for one change: ${show(result.cpuPerChangeMs)} ms`
  return `${what}\n\n${lines.join('\n')}\n\n${cpu}\n`
}

export function judgeChanges(result: ChangesResult): Verdict[] {
  const verdict = (says: string, found: number, max: number, unit: string): Verdict => ({
    says,
    bar: `≤ ${max}${unit}`,
    found: `${show(found)}${unit}`,
    outcome: found <= max ? 'met' : 'missed',
  })
  const p99 = (values: readonly number[]): number => percentile(values, 0.99)
  const ratio = p99(result.requestsChanging) / p99(result.requestsQuiet)
  return [
    verdict('save to first answer, median', percentile(result.toFirstAnswer, 0.5), BARS.medianMs, ' ms'),
    verdict('save to first answer, p99', p99(result.toFirstAnswer), BARS.p99Ms, ' ms'),
    verdict('between the workers, p99', p99(result.skew), BARS.skewP99Ms, ' ms'),
    verdict('request p99, changing / quiet', ratio, BARS.requestRatio, ''),
  ]
}

function show(value: number): string {
  return value.toFixed(value < 10 ? 2 : 0)
}
