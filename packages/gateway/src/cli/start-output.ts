import type { ListenAddress } from '../protocol/listen-address.ts'
import type { ReadySummary, RouteSummary } from '../protocol/master-supervisor.ts'

/** The lines that `cardea serve` prints when every worker serves: addresses, chains, and a command to try. */
export function renderStart(addresses: readonly ListenAddress[], summary: ReadySummary): string {
  const lines = addresses.map((address) => `Cardea is listening on ${urlOf(address)}`)
  if (summary.routes.length > 0) lines.push('')
  const width = Math.max(0, ...summary.routes.map((route) => matchOf(route).length))
  for (const route of summary.routes) {
    lines.push(`  ${matchOf(route).padEnd(width)}  ${[...route.chain, route.action].join(' → ')}`)
  }
  const [address] = addresses
  const [route] = summary.routes
  lines.push('')
  lines.push(`  generation ${summary.generation}, ${plural(summary.workers, 'worker')}`)
  // Without a route there is nothing to be tried: every answer is 404, or 503.
  if (address !== undefined && route !== undefined) lines.push('', `  Try: ${curlOf(address, route)}`)
  return `${lines.join('\n')}\n`
}

/** A URL that works on this machine: "all addresses" is shown as loopback. */
export function urlOf({ host, port }: ListenAddress): string {
  const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`
}

function matchOf({ name, hosts, paths, methods }: RouteSummary): string {
  const methodList = methods.length === 0 ? '' : `${methods.join(',')} `
  const hostList = hosts.length === 0 ? '' : hosts.join(',')
  return `${name}: ${methodList}${hostList}${paths.join(',')}`
}

/** A request that reaches the first route, as far as host, path and method go. */
function curlOf(address: ListenAddress, route: RouteSummary): string {
  const path = (route.paths[0] ?? '/').replace(/\*$/, '').replace(/:[^/]+/g, '1')
  const host = route.hosts[0]?.replace(/^\*\./, 'www.')
  const method = route.methods[0] ?? 'GET'
  const options = [
    ...(method === 'GET' ? [] : [`-X ${method}`]),
    ...(host === undefined ? [] : [`-H 'Host: ${host}'`]),
  ]
  return ['curl -i', ...options, shellWord(`${urlOf(address)}${path}`)].join(' ')
}

/** A path may hold what means something to a shell. */
function shellWord(text: string): string {
  return /^[\w:/.%~-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
