import { relative } from 'node:path'
import { printable } from '../config/render-problems.ts'
import type { ControlEvent, GatewayStatus, InstanceStatus } from '../protocol/control.ts'
import { changeText, pinText, waitText } from './change-text.ts'
import { eventLine, timeOf } from './event-text.ts'
import { type GatewayCommandContext, runGatewayCommand } from './gateway-command.ts'
import { pluginStateText } from './plugin-state-text.ts'
import { urlOf } from './start-output.ts'
import { agoText, bytesText, countText, type Paint, table } from './text.ts'

const EVENTS_SHOWN_MAX = 10

/** `cardea status`: what serves, what does not although it stands on disk, and what happened. Returns the exit code. */
export async function statusCommand(context: GatewayCommandContext): Promise<number> {
  return runGatewayCommand({ command: 'status' }, context, (status) => ({
    text: statusText(status, context),
    exitCode: 0,
  }))
}

interface TextOptions {
  readonly paint: Paint
  now(): number
}

export function statusText(status: GatewayStatus, options: TextOptions): string {
  const now = options.now()
  const { paint } = options
  const sections = [
    headOf(status, now, paint),
    lostText(status, now, paint),
    waitingText(status, now, paint),
    askedText(status, now, paint),
    pendingText(status, now, paint),
    pinsText(status, now),
    workersText(status),
    pluginsText(status),
    instancesText(status),
    eventsText(status, now),
  ]
  return sections.filter((text) => text !== '').join('\n')
}

function headOf(
  { directory, generation, startedAt, addresses, pending }: GatewayStatus,
  now: number,
  paint: Paint,
): string {
  const serves = paint(...servesText(generation, pending !== null))
  const urls = addresses.map((address) => `  ${urlOf(address)}\n`).join('')
  return `Gateway in ${printable(directory)}, started ${agoText(startedAt, now)}: ${serves}\n${urls}`
}

function servesText(generation: number, hasFailed: boolean): Parameters<Paint> {
  if (generation > 0) return ['green', `generation ${generation} serves`]
  return hasFailed
    ? ['red', 'no generation can be served: every request is answered 503']
    : ['yellow', 'nothing serves yet: the gateway is starting']
}

/** What the config names and nobody listens on. */
function lostText({ lostAddresses }: GatewayStatus, now: number, paint: Paint): string {
  if (lostAddresses.length === 0) return ''
  const texts = lostAddresses.map((lost) => {
    const { systemCode, since, reason, retryMs } = lost
    const head = `${urlOf(lost)} (${systemCode === null ? '' : `${systemCode}, `}since ${agoText(since, now)})`
    return `  ${printable(head)}\n    ${printable(`${reason} It is tried again every ${retryMs / 1000} s.`)}\n`
  })
  return `${paint('red', 'Not listened on')}\n${texts.join('')}`
}

function waitingText({ waiting, directory }: GatewayStatus, now: number, paint: Paint): string {
  if (waiting === null) return ''
  return `${paint('bold', 'Waiting')} (since ${agoText(waiting.since, now)})\n  ${waitText(waiting, directory)}\n`
}

/** What waits for somebody's word, whatever stands on disk. */
function askedText({ asked, directory, generation }: GatewayStatus, now: number, paint: Paint): string {
  if (asked === null) return ''
  const text = changeText(asked, { paint, directory, serving: generation })
  return `${paint('bold', 'Asked for, but not live')} (${agoText(asked.at, now)})\n${text}`
}

/** What stands on disk and does not run, and what runs in its place. */
function pendingText(status: GatewayStatus, now: number, paint: Paint): string {
  const { pending, generation, directory, instances } = status
  if (pending === null) return ''
  const text = changeText(pending, { paint, directory, serving: generation })
  const stopped = new Set(pending.problems.map(({ plugin }) => plugin))
  const running = instances.filter(({ name, plugin }) => stopped.has(name) || stopped.has(plugin))
  const lines = running.map((instance) => `  ${nameOf(instance)} ${instance.version} runs on\n`)
  return `${paint('bold', 'On disk, but not live')} (${agoText(pending.at, now)})\n${text}${lines.map(printableLine).join('')}`
}

function pinsText({ pins }: GatewayStatus, now: number): string {
  if (pins.length === 0) return ''
  return `Held back\n${pins.map((pin) => `  ${pinText(pin, now)}\n`).join('')}`
}

function workersText({ workers, generation: live }: GatewayStatus): string {
  const rows = workers.map(({ worker, census }) => {
    if (census === null) return [`${worker}`, 'does not answer']
    const generations = census.generations.map(({ number, exchanges }) =>
      number === live ? `${number}` : `${number} (${exchanges} open)`,
    )
    return [
      `${worker}`,
      `${census.pid}`,
      generations.join(', '),
      countText(census.requestsTotal),
      countText(census.exchanges),
      countText(census.connections),
      bytesText(census.rssBytes),
    ]
  })
  if (rows.length === 0) return ''
  const head = ['worker', 'pid', 'generations', 'requests', 'open', 'connections', 'memory']
  return `Workers\n${table(head, rows)}${streamsText({ workers, live })}`
}

/** Who keeps older generations alive. */
function streamsText({
  workers,
  live,
}: {
  readonly workers: GatewayStatus['workers']
  readonly live: number
}): string {
  const lines = workers.flatMap(({ worker, census }) =>
    (census?.generations ?? [])
      .filter(({ number, oldest }) => number !== live && oldest.length > 0)
      .map(
        ({ number, oldest }) => `  worker ${worker} keeps generation ${number} for ${oldest.join(', ')}\n`,
      ),
  )
  return lines.map(printableLine).join('')
}

function pluginsText({ plugins, directory, pending }: GatewayStatus): string {
  if (plugins.length === 0) return ''
  const rows = plugins.map(({ name, version, folder, state }) => [
    name,
    version ?? '',
    folderText(directory, folder),
    pluginStateText(name, state),
  ])
  // Then they are those of the change that did not go live; what runs stands below.
  const title = pending === null ? 'Plugins' : 'Plugins, as they stand on disk'
  return `${title}\n${table(['name', 'version', 'from', 'state'], rows)}`
}

function instancesText({ instances }: GatewayStatus): string {
  if (instances.length === 0) return ''
  const rows = instances.map((instance) => [
    nameOf(instance),
    instance.version,
    instance.state,
    countText(instance.failures),
  ])
  return `Instances\n${table(['name', 'version', 'state', 'failures'], rows)}`
}

function eventsText({ events, directory }: GatewayStatus, now: number): string {
  if (events.length === 0) return ''
  const newest = [...events].sort(byTime).slice(-EVENTS_SHOWN_MAX)
  const rows = newest.map(
    (event) => `  ${agoText(timeOf(event) ?? now, now).padEnd(10)}  ${eventLine(event, directory)}\n`,
  )
  return `Lately\n${rows.map(printableLine).join('')}`
}

function byTime(a: ControlEvent, b: ControlEvent): number {
  return (timeOf(a) ?? 0) - (timeOf(b) ?? 0)
}

/** `login-limit (rate-limit)` where the instance has a name of its own. */
export function nameOf({ name, plugin }: Pick<InstanceStatus, 'name' | 'plugin'>): string {
  return name === plugin ? name : `${name} (${plugin})`
}

/** As the config file would name it; those that came with the program stand elsewhere. */
export function folderText(directory: string, folder: string): string {
  const path = relative(directory, folder)
  return path.startsWith('..') ? folder : path
}

function printableLine(line: string): string {
  return `${printable(line.slice(0, -1))}\n`
}
