import { messageOf } from '../../base/errors.ts'
import type { RoutePlan } from '../../protocol/generation.ts'
import { parseHostPattern, parsePathPattern } from './pattern.ts'
import { RouteTies } from './route-ties.ts'
import { compileRouter } from './router.ts'

export interface RouteProblem {
  /** The name of the route to mend, and where it stands among those given. */
  readonly route: string
  readonly index: number
  /** A sentence: the offender, the reason, the way out. */
  readonly message: string
}

/** Everything that keeps these routes from being served: patterns and templates that do not compile, and conflicts. */
export function findRouteProblems(routes: readonly RoutePlan[]): RouteProblem[] {
  const problems: RouteProblem[] = []
  const sound: number[] = []
  for (const [index, route] of routes.entries()) {
    try {
      compileRouter([route])
      sound.push(index)
    } catch (thrown) {
      problems.push({ route: route.name, index, message: messageOf(thrown) })
    }
  }
  const conflicts = findRouteConflicts(sound.flatMap((index) => routes[index] ?? []))
  return problems.concat(conflicts.map((found) => ({ ...found, index: sound[found.index] ?? 0 })))
}

/** Of a thousand routes with one path there are half a million pairs: every one of them is told, and of each this many conflicts. */
const CONFLICTS_TOLD_MAX = 3

/**
 * Pairs of routes that some request matches both of, with nothing to tell which is the more specific. Each pair is
 * reported once, at the one that stands behind the other. Throws `CONFIG_INVALID` on patterns that do not parse.
 */
export function findRouteConflicts(routes: readonly RoutePlan[]): RouteProblem[] {
  const byPlace = new Map<string, Place[]>()
  for (const [index, route] of routes.entries()) {
    for (const place of placesOf(route, index)) {
      const there = byPlace.get(place.key)
      if (there === undefined) byPlace.set(place.key, [place])
      else if (there.at(-1)?.index !== index) there.push(place)
    }
  }
  const problems: RouteProblem[] = []
  const told = new Map<number, Set<number>>()
  for (const places of byPlace.values()) {
    const ties = new RouteTies()
    for (const place of places) {
      const known = told.get(place.index) ?? new Set()
      told.set(place.index, known)
      // One more for each that was told of another place.
      for (const position of ties.add(place.route, CONFLICTS_TOLD_MAX + known.size)) {
        const other = places[position]
        if (known.size >= CONFLICTS_TOLD_MAX) break
        if (other === undefined || known.has(other.index)) continue
        known.add(other.index)
        problems.push(describe(place, other))
      }
    }
  }
  return problems
}

/** One host with one path of a route. Places of one key take the same requests, methods and headers aside. */
interface Place {
  readonly key: string
  readonly route: RoutePlan
  readonly index: number
  readonly host: string
  readonly path: string
}

function placesOf(route: RoutePlan, index: number): Place[] {
  const hosts = route.hosts.length === 0 ? ['*'] : route.hosts
  return hosts.flatMap((host) =>
    route.paths.map((path) => {
      const { name, wildcard, port } = parseHostPattern(host)
      const { segments, prefix } = parsePathPattern(path)
      return { key: JSON.stringify([name, wildcard, port, segments, prefix]), route, index, host, path }
    }),
  )
}

function describe(place: Place, other: Place): RouteProblem {
  const host = place.host === '*' ? 'every host' : `host "${place.host}"`
  return {
    route: place.route.name,
    index: place.index,
    message: `Route "${place.route.name}" takes the same requests as route "${other.route.name}": path "${place.path}" on ${host}, and neither is more specific. Give one of them another path, host, method or header, or remove it.`,
  }
}
