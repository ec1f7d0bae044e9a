import { oneOf } from './describe.ts'
import { nearestOf } from './nearest.ts'
import { isObject } from './pointer.ts'
import { checkResponseFields, type RuleReader, reportTwice } from './rule-reader.ts'
import { hostFault, pathFault, redirectFault, rewriteFault, unknownNames } from './rules-path.ts'

const ACTIONS = ['upstream', 'respond', 'redirect'] as const

export function checkRoutes(reader: RuleReader): void {
  // An entry without a name is a problem of its own, and nothing to be suggested.
  const upstreams = reader.members('/upstreams').flatMap(([, name]) => (name === '' ? [] : [name]))
  const names = new Set<string>()
  const matches = new Map<string, string>()
  for (const [route, , value] of reader.members('/routes')) {
    if (!isObject(value)) continue
    checkName(reader, route, names)
    checkPatterns(reader, route)
    checkAction(reader, route, upstreams)
    checkPathChanges(reader, route)
    checkHeaderMatches(reader, route)
    checkResponseFields(reader, `${route}/respond`)
    checkTwins(reader, route, matches)
  }
}

function checkName(reader: RuleReader, route: string, names: Set<string>): void {
  const name = reader.string(`${route}/name`)
  if (name === null) return
  if (names.has(name)) {
    const pointer = `${route}/name`
    reader.report({
      pointer,
      expected: 'a name of its own',
      message: `Two routes have the name ${reader.shown(pointer)}: rename one of them.`,
    })
  }
  names.add(name)
}

/** The paths of a route with their places; the default when it names none. */
function pathsOf(reader: RuleReader, route: string): [pointer: string, path: string][] {
  const path = reader.string(`${route}/path`)
  const listed = reader.strings(`${route}/paths`)
  const paths: [string, string][] = path === null ? listed : [[`${route}/path`, path], ...listed]
  return paths.length === 0 ? [[route, '/*']] : paths
}

function hostsOf(reader: RuleReader, route: string): [pointer: string, host: string][] {
  const host = reader.string(`${route}/host`)
  const listed = reader.strings(`${route}/hosts`)
  return host === null ? listed : [[`${route}/host`, host], ...listed]
}

function checkPatterns(reader: RuleReader, route: string): void {
  for (const [one, many] of [
    ['host', 'hosts'],
    ['path', 'paths'],
  ] as const) {
    if (!reader.has(`${route}/${one}`) || !reader.has(`${route}/${many}`)) continue
    reader.report({
      pointer: `${route}/${many}`,
      expected: `"${one}" or "${many}"`,
      message: `The route has both "${one}" and "${many}": put all of them under "${many}".`,
      atKey: true,
    })
  }
  const allowed = reader.strings(`${route}/allow_in_path`).map(([, oddity]) => oddity)
  for (const [pointer, path] of pathsOf(reader, route)) {
    const fault = pathFault(path, allowed)
    if (fault !== null) reportPattern(reader, pointer, 'path', fault, null)
  }
  for (const [pointer, host] of hostsOf(reader, route)) {
    const fault = hostFault(host)
    if (fault !== null) reportPattern(reader, pointer, 'host', fault.reason, fault.nearest)
  }
}

const FORMS = {
  host: 'a host name such as "example.com" or "*.example.com"',
  path: 'a path such as "/health", "/api/*" or "/users/:id"',
  rewrite: 'a path such as "/v2/*" or "/users/:id"',
  redirect: 'a path such as "/new/*", or a URL such as "https://example.com/:id"',
} as const

function reportPattern(
  reader: RuleReader,
  pointer: string,
  what: keyof typeof FORMS,
  reason: string,
  nearest: string | null,
): void {
  const expected = FORMS[what]
  // The reason quotes parts of the pattern, which may have come from a variable.
  const message = `The ${what} ${reader.shown(pointer)} cannot be used`
  reader.report({ pointer, expected, nearest, message: `${message}${reader.because(pointer, reason)}.` })
}

function checkAction(reader: RuleReader, route: string, upstreams: readonly string[]): void {
  const actions = ACTIONS.filter((action) => reader.has(`${route}/${action}`))
  if (actions.length !== 1) {
    const found = actions.length === 0 ? 'none of' : 'more than one of'
    reader.report({
      pointer: actions.length === 0 ? route : `${route}/${actions[1]}`,
      expected: 'exactly one of upstream, respond and redirect',
      message: `The route has ${found} "upstream", "respond" and "redirect": it needs exactly one.`,
      atKey: true,
    })
  }
  const pointer = `${route}/upstream`
  const upstream = reader.string(pointer)
  if (upstream !== null && !upstreams.includes(upstream)) {
    reader.report({
      pointer,
      expected: upstreams.length === 0 ? 'an entry under "upstreams"' : oneOf(upstreams),
      nearest: nearestOf(upstream, upstreams),
      message: `The upstream ${reader.shown(pointer)} is not under "upstreams": add it there, or correct the name.`,
    })
  }
}

/** `strip_prefix`, `rewrite`, `upstream_host` and `redirect.to`. */
function checkPathChanges(reader: RuleReader, route: string): void {
  const paths = pathsOf(reader, route).map(([, path]) => path)
  const strip = reader.string(`${route}/strip_prefix`) ?? ''
  const rewrite = reader.string(`${route}/rewrite`) ?? ''
  if (strip !== '') checkStripPrefix(reader, route, strip, paths)
  checkTemplate(reader, `${route}/rewrite`, 'rewrite', paths)
  checkTemplate(reader, `${route}/redirect/to`, 'redirect', paths)
  if (strip !== '' && rewrite !== '') {
    reader.report({
      pointer: `${route}/strip_prefix`,
      expected: '"strip_prefix" or "rewrite"',
      message: 'The route has both "strip_prefix" and "rewrite": say it all in "rewrite".',
      atKey: true,
    })
  }
  const isForwarded = reader.has(`${route}/upstream`)
  for (const key of ['strip_prefix', 'rewrite', 'upstream_host'] as const) {
    if (isForwarded || !reader.has(`${route}/${key}`)) continue
    reader.report({
      pointer: `${route}/${key}`,
      expected: 'an upstream beside it',
      message: `"${key}" changes what the upstream sees, but the route has no upstream: leave it out.`,
      atKey: true,
    })
  }
}

function checkStripPrefix(reader: RuleReader, route: string, strip: string, paths: readonly string[]): void {
  const pointer = `${route}/strip_prefix`
  if (!/^\/[^:*]*[^/:*]$/.test(strip)) {
    reader.report({ pointer, expected: 'a literal path such as "/api", without a slash at its end' })
  } else if (!paths.every((path) => path === strip || path.startsWith(`${strip}/`))) {
    reader.report({
      pointer,
      expected: 'a start of every path of the route',
      message: `The prefix ${reader.shown(pointer)} is not the start of every path of the route, so it could not be taken off.`,
    })
  }
}

/** A text in which names stand for what the path matched: its form, then its names. */
function checkTemplate(
  reader: RuleReader,
  pointer: string,
  what: 'rewrite' | 'redirect',
  paths: readonly string[],
): void {
  const text = reader.string(pointer) ?? ''
  if (text === '') return
  const fault = what === 'rewrite' ? rewriteFault(text) : redirectFault(text)
  if (fault !== null) reportPattern(reader, pointer, what, fault, null)
  const unknown = fault === null ? unknownNames(text, paths) : null
  if (unknown === null) return
  const shown = reader.isExpanded(pointer) ? 'a name' : `"${unknown}"`
  reader.report({
    pointer,
    expected: 'only names that every path of the route has',
    message: `${reader.shown(pointer)} uses ${shown}, which not every path of the route has.`,
  })
}

function checkHeaderMatches(reader: RuleReader, route: string): void {
  const seen = new Set<string>()
  for (const [pointer, name] of reader.members(`${route}/headers`)) {
    if (seen.has(name.toLowerCase())) reportTwice(reader, pointer, name)
    seen.add(name.toLowerCase())
  }
}

/** Two routes that match the very same requests: which one ran would depend on nothing that the file says. */
function checkTwins(reader: RuleReader, route: string, matches: Map<string, string>): void {
  const hosts = hostsOf(reader, route).map(([, host]) => host.toLowerCase())
  const methods = reader.strings(`${route}/methods`).map(([, method]) => method)
  const headers = reader
    .members(`${route}/headers`)
    .map(([, name, value]) => [name.toLowerCase(), value])
    .sort()
  const others = new Set<string>()
  for (const host of hosts.length === 0 ? ['*'] : hosts) {
    for (const [, path] of pathsOf(reader, route)) {
      for (const method of methods.length === 0 ? ['*'] : methods) {
        const match = JSON.stringify([host, path.replaceAll(/:[^/]*/g, ':'), method, headers])
        const other = matches.get(match)
        if (other !== undefined && other !== route) others.add(other)
        matches.set(match, other ?? route)
      }
    }
  }
  for (const other of others) {
    reader.report({
      pointer: route,
      conflict: true,
      expected: 'another host, path, method or header than any other route',
      message: `The route matches the same requests as the route ${reader.shown(`${other}/name`)}: change one of them.`,
    })
  }
}
