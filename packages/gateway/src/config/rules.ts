import { isIP } from 'node:net'
import { isCidr, isHostname } from './formats.ts'
import { isObject } from './pointer.ts'
import { checkResponseFields, RuleReader } from './rule-reader.ts'
import { checkRoutes } from './rules-route.ts'
import { checkUpstreams } from './rules-upstream.ts'
import type { ConfigProblem, SourceMap } from './types.ts'

/**
 * What a schema cannot say about cardea.yaml. The rules read the value before it is known to be valid, so that they
 * report together with the schema; what has the wrong type is skipped, for the schema speaks of it.
 */
export function checkRules(value: unknown, source: SourceMap): ConfigProblem[] {
  const reader = new RuleReader(value, source)
  checkListeners(reader)
  checkRedis(reader)
  for (const [pointer, block] of reader.strings('/trusted_proxies')) {
    if (!isCidr(block))
      reader.report({ pointer, expected: 'an IP address or CIDR block such as "10.0.0.0/8"' })
  }
  checkUpstreams(reader)
  checkRoutes(reader)
  checkFallbacks(reader)
  return reader.problems
}

function checkListeners(reader: RuleReader): void {
  const seen = new Set<string>()
  for (const [pointer, , listener] of reader.members('/listen')) {
    if (!isObject(listener)) continue
    checkListenHost(reader, `${pointer}/host`)
    const address = JSON.stringify([listener.host ?? '0.0.0.0', listener.port ?? 8080])
    if (seen.has(address) && listener.port !== 0) {
      reader.report({ pointer, expected: 'another host or port', message: 'Two listeners have one address.' })
    }
    seen.add(address)
  }
}

function checkListenHost(reader: RuleReader, pointer: string): void {
  const host = reader.string(pointer)
  if (host === null || host === '' || isIP(host) !== 0 || isHostname(host)) return
  const bare = /^\[(.*)\]$/.exec(host)?.[1] ?? ''
  reader.report({
    pointer,
    expected: 'an IP address or a host name',
    nearest: isIP(bare) === 6 ? bare : null,
  })
}

/** The client would take what it cannot read of the URL for nothing, and use another server or database. */
function checkRedis(reader: RuleReader): void {
  const pointer = '/state/redis'
  const url = reader.string(pointer)
  if (url === null || !/^rediss?:\/\/\S+$/.test(url)) return
  if (URL.canParse(url) && /^(\/\d{0,9})?$/.test(new URL(url).pathname)) return
  reader.report({
    pointer,
    expected: 'a URL such as "redis://127.0.0.1:6379/2", whose path is the number of a database',
    hidden: true,
  })
}

/** Every `plugins:` of the file. */
function checkFallbacks(reader: RuleReader): void {
  const places = ['/plugins', ...reader.members('/routes').map(([pointer]) => `${pointer}/plugins`)]
  for (const place of places) {
    for (const [pointer] of reader.members(place)) {
      checkResponseFields(reader, `${pointer}/on_failure/fallback`)
    }
  }
}
