import type { RoutePlan } from '../../protocol/generation.ts'
import { HostIndex } from './host-index.ts'
import { normalizePath, PathFindings } from './path.ts'
import { type Budget, pathCells } from './path-cells.ts'
import { type HostPattern, type PathPattern, parseHostPattern, parsePathPattern } from './pattern.ts'
import { type CompiledRoute, compileRouter, RouteMatch, type Router } from './router.ts'
import { matchesSame } from './same-routes.ts'

/** Requests that one route took before, and this one takes after. */
export interface TrafficMove {
  readonly from: string
  readonly to: string
  /** One of them, for people: `GET api.example.com/admin/x`. */
  readonly example: string
}

/** Protects the supervisor against routes that can be combined in very many ways: then more moves are reported. */
const STEPS_MAX = 500_000
const HEADER_COMBINATIONS_MAX = 1_000

/**
 * Every pair of routes such that some request went to the one with the routes `before`, and goes to the other with
 * those `after`; requests that neither or only one of both serves are left out. None is missed. Where the combinations
 * are too many, pairs may be reported that no request takes.
 *
 * All requests that the same hosts, paths, methods and headers match are treated alike, so one of each is sent through
 * both routers. Both must compile.
 */
export function findTrafficMoves(before: readonly RoutePlan[], after: readonly RoutePlan[]): TrafficMove[] {
  // Most changes are of plugins, and leave every request where it was.
  if (before.length === after.length && before.every((route, index) => matchesSame(route, after[index]))) {
    return before.map(({ name }) => ({ from: name, to: name, example: '' }))
  }
  const comparison = new Comparison(before, after)
  comparison.run()
  return comparison.moves
}

/** One path of one host of a route. */
interface Place {
  /** Unique. */
  readonly id: string
  readonly isBefore: boolean
  readonly route: RoutePlan
  readonly host: HostPattern
  readonly path: PathPattern
}

class Comparison {
  readonly #before: Router
  readonly #after: Router
  readonly #places: readonly Place[]
  readonly #found = new Map<string, TrafficMove>()
  readonly #budget: Budget = { left: STEPS_MAX }
  readonly #match = new RouteMatch()
  readonly #findings = new PathFindings()

  constructor(before: readonly RoutePlan[], after: readonly RoutePlan[]) {
    this.#before = compileRouter(before)
    this.#after = compileRouter(after)
    this.#places = [...placesOf(before, true), ...placesOf(after, false)]
  }

  get moves(): TrafficMove[] {
    return [...this.#found.values()]
  }

  run(): void {
    const seen = new Set<string>()
    const index = new HostIndex(this.#places.map(({ host }) => host))
    for (const name of hostNames(this.#places.map(({ host }) => host))) {
      const near = index.covering(name).flatMap((position) => this.#places[position] ?? [])
      for (const port of new Set(['', ...near.map(({ host }) => host.port)])) {
        const places = near.filter(({ host }) => host.port === '' || host.port === port)
        // Hosts that are listed together have the same places.
        const id = places.map(({ id }) => id).join(' ')
        if (!seen.has(id)) this.#compareHost({ name, port }, places)
        seen.add(id)
      }
    }
  }

  #compareHost(host: HostCell, places: readonly Place[]): void {
    const byPattern = [...Map.groupBy(places, ({ path }) => path.text).values()]
    const patterns = byPattern.flatMap(([place]) => (place === undefined ? [] : [place.path]))
    const cells = pathCells(patterns, this.#budget)
    if (cells === null) this.#addAll(places, `* ${textOf(host)}`)
    for (const { path, matched } of cells ?? []) {
      this.#comparePath(
        host,
        path,
        matched.flatMap((index) => byPattern[index] ?? []),
      )
    }
  }

  #comparePath(host: HostCell, path: string, places: readonly Place[]): void {
    const methods = methodsOf(places)
    const combinations = headerCombinations(places)
    const requests = methods.length * (combinations?.length ?? Number.POSITIVE_INFINITY)
    this.#budget.left -= requests
    if (combinations === null || this.#budget.left < 0) {
      this.#addAll(places, `* ${textOf(host)}${path}`)
      return
    }
    for (const method of methods) {
      for (const headers of combinations) this.#compare({ host: textOf(host), path, method, headers })
    }
  }

  #compare(request: Request): void {
    const from = this.#route(this.#before, request)
    const to = this.#route(this.#after, request)
    if (from !== null && to !== null) this.#add(from.name, to.name, request)
  }

  /** Null also where the route answers 400 because of the path. */
  #route(router: Router, { host, path, method, headers }: Request): CompiledRoute | null {
    const fields = { get: (name: string) => headers.get(name) ?? null }
    const route = router.match(host, path, method, fields, this.#match)
    if (route === null) return null
    normalizePath(path, this.#findings)
    return (this.#findings.oddities & ~route.allowedOddities) === 0 ? route : null
  }

  #addAll(places: readonly Place[], example: string): void {
    for (const { route: from } of places.filter(({ isBefore }) => isBefore)) {
      for (const { route: to } of places.filter(({ isBefore }) => !isBefore))
        this.#add(from.name, to.name, example)
    }
  }

  #add(from: string, to: string, example: Request | string): void {
    const id = JSON.stringify([from, to])
    if (this.#found.has(id)) return
    this.#found.set(id, { from, to, example: typeof example === 'string' ? example : describe(example) })
  }
}

function placesOf(routes: readonly RoutePlan[], isBefore: boolean): Place[] {
  return routes.flatMap((route, index) => {
    const id = (host: number, path: number) => `${isBefore} ${index} ${host} ${path}`
    const hosts = (route.hosts.length === 0 ? ['*'] : route.hosts).map(parseHostPattern)
    const paths = route.paths.map(parsePathPattern)
    return hosts.flatMap((host, hostIndex) =>
      paths.map((path, pathIndex) => ({ id: id(hostIndex, pathIndex), isBefore, route, host, path })),
    )
  })
}

/** Hosts that no pattern tells apart, by one of them. */
interface HostCell {
  readonly name: string
  readonly port: string
}

/** One for each that some pattern names, one below each wildcard, and one that none covers by its name. */
function hostNames(patterns: readonly HostPattern[]): string[] {
  const taken = new Set(patterns.map(({ name }) => name))
  const labels = new Set([...taken].flatMap((name) => name.split('.')))
  let label = 'x'
  while (labels.has(label)) label += 'x'
  return Array.from(new Set([...taken, '']), (name) => {
    if (name === '') return label
    return name.startsWith('.') ? `${label}${name}` : name
  })
}

function textOf({ name, port }: HostCell): string {
  return port === '' ? name : `${name}:${port}`
}

/** Each method that some place names, what GET stands in for, and one that none names. */
function methodsOf(places: readonly Place[]): string[] {
  const named = new Set(places.flatMap(({ route }) => route.methods))
  if (named.size === 0) return ['GET']
  if (named.has('GET')) named.add('HEAD')
  let other = 'OTHER'
  while (named.has(other)) other += 'S'
  return [...named, other]
}

type Headers = ReadonlyMap<string, string>

/** Each way in which the fields that some place asks for may be there: absent, with each value, with none of them. */
function headerCombinations(places: readonly Place[]): Headers[] | null {
  const values = new Map<string, Set<string>>()
  for (const { route } of places) {
    for (const [name, value] of Object.entries(route.headers)) {
      const known = values.get(name) ?? new Set()
      if (value !== null) known.add(value)
      values.set(name, known)
    }
  }
  let combinations: Headers[] = [new Map()]
  for (const [name, known] of values) {
    let other = 'x'
    while (known.has(other)) other += 'x'
    const choices = [null, other, ...known]
    if (combinations.length * choices.length > HEADER_COMBINATIONS_MAX) return null
    combinations = combinations.flatMap((fields) =>
      choices.map((value) => (value === null ? fields : new Map([...fields, [name, value]]))),
    )
  }
  return combinations
}

interface Request {
  readonly host: string
  readonly path: string
  readonly method: string
  readonly headers: Headers
}

function describe({ host, path, method, headers }: Request): string {
  const fields = [...headers].map(([name, value]) => ` ${name}: ${value}`).join('')
  return `${method} ${host}${path}${fields}`
}
