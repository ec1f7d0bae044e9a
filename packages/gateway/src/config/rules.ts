import { isObject } from './pointer.ts'
import { checkResponseFields, RuleReader } from './rule-reader.ts'
import { checkRoutes } from './rules-route.ts'
import { checkUpstreams } from './rules-upstream.ts'
import type { ConfigProblem, SourceMap } from './types.ts'
import { isCidr } from './validator.ts'

/**
 * What a schema cannot say about cardea.yaml. The rules read the value before it is known to be valid, so that they
 * report together with the schema; what has the wrong type is skipped, for the schema speaks of it.
 */
export function checkRules(value: unknown, source: SourceMap): ConfigProblem[] {
  const reader = new RuleReader(value, source)
  checkListeners(reader)
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
    const address = JSON.stringify([listener.host ?? '0.0.0.0', listener.port ?? 8080])
    if (seen.has(address) && listener.port !== 0) {
      reader.report({ pointer, expected: 'another host or port', message: 'Two listeners have one address.' })
    }
    seen.add(address)
  }
}

/** Every `plugins:` of the file. */
function checkFallbacks(reader: RuleReader): void {
  const places = ['/plugins', ...reader.members('/routes').map(([pointer]) => `${pointer}/plugins`)]
  for (const place of places) {
    for (const [pointer] of reader.members(place)) {
      checkResponseFields(reader, `${pointer}/on_failure/fallback/headers`)
    }
  }
}
