import type { RoutePlan } from '../../protocol/generation.ts'

/** Both match the same requests, and are called the same. */
export function matchesSame(one: RoutePlan, other: RoutePlan | undefined): boolean {
  if (one === other) return true
  return (
    other !== undefined &&
    one.name === other.name &&
    areSame(one.paths, other.paths) &&
    areSame(one.hosts, other.hosts) &&
    areSame(one.methods, other.methods) &&
    haveSameValues(one.headers, other.headers) &&
    areSame(one.allowInPath, other.allowInPath)
  )
}

/** A router makes the same of both; see `CompiledRoute`. */
export function compilesSame(one: RoutePlan, other: RoutePlan | undefined): boolean {
  if (one === other) return true
  return (
    other !== undefined &&
    matchesSame(one, other) &&
    one.stripPrefix === other.stripPrefix &&
    one.rewrite === other.rewrite &&
    locationOf(one) === locationOf(other)
  )
}

function locationOf({ action }: RoutePlan): string | null {
  return action.kind === 'redirect' ? action.location : null
}

function areSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index])
}

function haveSameValues(one: RoutePlan['headers'], other: RoutePlan['headers']): boolean {
  const names = Object.keys(one)
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name])
}
