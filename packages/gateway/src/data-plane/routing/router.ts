import { GatewayError } from '../../base/errors.ts'
import { allSteps, type Steps } from '../../base/steps.ts'
import type { RoutePlan } from '../../protocol/generation.ts'
import { type HostTable, hostTableInSteps } from './host-table.ts'
import { decodeSegment, foldReservedEscapes, pathOddityMask, pathOddityNames } from './path.ts'
import { type FieldReader, type HeaderCondition, type Leaf, PathTree } from './path-tree.ts'
import { type HostPattern, parseHostPattern, parsePathPattern } from './pattern.ts'
import { compileLocation, compileRewrite, type LocationTemplate, type Rewriter } from './rewrite.ts'

/**
 * Which route a request belongs to. Of all routes whose host, path, method and headers match, the most specific wins;
 * what is compared first weighs most:
 *
 *   1. host: exact name > longer wildcard > shorter wildcard > every host; with a port > without,
 *   2. path, segment by segment from the left: literal > `:param` > `/*`,
 *   3. method: named > GET answering HEAD > every method,
 *   4. headers: more conditions > fewer; of as many, more values > mere presence.
 *
 * A route that does not match in any of them is passed over for the next. The order in the file never matters: two
 * routes that none of the four tells apart are an error (`findRouteConflicts`). docs/guides/routing.md is the manual.
 */
export class Router {
  readonly #hosts: HostTable<PathTree<CompiledRoute>>
  /** In the order of the plan: what else belongs to a route can be kept in arrays beside it, by `index`. */
  readonly routes: readonly CompiledRoute[]

  constructor(routes: readonly CompiledRoute[], hosts: HostTable<PathTree<CompiledRoute>>) {
    this.routes = routes
    this.#hosts = hosts
  }

  /**
   * The route of a request, or null. `host` is the Host field's value, port included, '' if there is none; `path` is
   * normalised. `out.params` is set for the route; on null `out.allow` lists the methods that would have found one, for
   * the Allow field of a 405, and is '' where only 404 is true.
   *
   * The caller must refuse a path with `findings.oddities & ~route.allowedOddities` other than 0.
   */
  match(
    host: string,
    path: string,
    method: string,
    fields: FieldReader,
    out: RouteMatch,
  ): CompiledRoute | null {
    const folded = foldReservedEscapes(path)
    const trees = this.#hosts.find(host)
    for (let index = 0; index < trees.length; index++) {
      const leaf = trees[index]?.find(folded, method, fields) ?? null
      if (leaf === null) continue
      if (leaf.pattern.paramNames.length === 0 && !leaf.bound.usesTemplate) out.clear()
      else capture(leaf, path, out)
      return leaf.bound
    }
    out.clear()
    out.allow = allowedMethods(trees, folded, fields)
    return null
  }
}

/** Throws `CONFIG_INVALID` for a route that does not compile; conflicts are for `findRouteConflicts`. A step for each route and each host. */
export function* routerInSteps(plans: readonly RoutePlan[]): Steps<Router> {
  const routes: CompiledRoute[] = []
  const trees = new Map<string, readonly [HostPattern, PathTree<CompiledRoute>]>()
  for (const [index, plan] of plans.entries()) {
    const route = new CompiledRoute(plan, index)
    routes.push(route)
    const leaves = leavesOf(route, plan)
    for (const pattern of (plan.hosts.length === 0 ? ['*'] : plan.hosts).map(parseHostPattern)) {
      const key = `${pattern.name}:${pattern.port}`
      const [, tree] = trees.get(key) ?? [pattern, new PathTree<CompiledRoute>()]
      trees.set(key, [pattern, tree])
      for (const leaf of leaves) tree.add(leaf)
    }
    yield
  }
  return new Router(routes, yield* hostTableInSteps([...trees.values()]))
}

export function compileRouter(routes: readonly RoutePlan[]): Router {
  return allSteps(routerInSteps(routes))
}

const NONE: Record<string, string> = Object.freeze({})

/** What {@link Router.match} says besides the route. One object may be used again and again; its values stay valid. */
export class RouteMatch {
  /** What `:name` segments matched, percent-decoded as UTF-8; as it stands in the path where that is not UTF-8. */
  params: Readonly<Record<string, string>> = NONE
  /** The same as it stands in the normalised path, for templates; only set for routes that have one. */
  rawParams: Readonly<Record<string, string>> = NONE
  /** What `*` matched, without the slash before it, as it stands in the path; only set for routes with a template. */
  rest = ''
  /** For the Allow field, when no route took the method; else ''. */
  allow = ''

  clear(): void {
    this.params = NONE
    this.rawParams = NONE
    this.rest = ''
    this.allow = ''
  }
}

/** What a router knows of a route. Nothing else of its plan: routers outlive the generation they were compiled for. */
export class CompiledRoute {
  /** The position in the plan. */
  readonly index: number
  readonly name: string
  /** Bits of `PathFindings.oddities` that may pass. */
  readonly allowedOddities: number
  /** What strip_prefix or rewrite make of the path for the upstream; null when it stays. */
  readonly rewriter: Rewriter | null
  /** The Location of a redirect route, else null. */
  readonly location: LocationTemplate | null
  readonly usesTemplate: boolean

  constructor(plan: RoutePlan, index: number) {
    this.index = index
    this.name = plan.name
    this.allowedOddities = pathOddityMask(plan.allowInPath)
    this.rewriter = compileRewrite(plan)
    this.location = compileLocation(plan)
    this.usesTemplate = plan.rewrite !== '' || this.location !== null
  }
}

function leavesOf(route: CompiledRoute, { paths, methods, headers }: RoutePlan): Leaf<CompiledRoute>[] {
  const conditions: HeaderCondition[] = Object.entries(headers).map(([name, value]) => ({ name, value }))
  return paths.map((path) => {
    const pattern = parsePathPattern(path)
    const refused = pathOddityNames(pattern.oddities & ~route.allowedOddities)
    if (refused.length > 0) {
      throw new GatewayError(
        'CONFIG_INVALID',
        `Route "${route.name}" has the path "${path}", which no request can have; add ${refused.join(', ')} to allow_in_path.`,
      )
    }
    return { bound: route, pattern, methods, headers: conditions }
  })
}

/** Reads the segments from the path as it is: folding keeps their number, but not their text. */
function capture(leaf: Leaf<CompiledRoute>, path: string, out: RouteMatch): void {
  const { pattern } = leaf
  const usesTemplate = leaf.bound.usesTemplate
  const params: Record<string, string> = {}
  const rawParams: Record<string, string> = usesTemplate ? {} : NONE
  let start = 1
  let segment = 0
  for (let index = 0; index < pattern.paramNames.length; index++) {
    const name = pattern.paramNames[index] ?? ''
    for (const wanted = pattern.paramSegments[index] ?? 0; segment < wanted; segment++) {
      start = path.indexOf('/', start) + 1
    }
    const slash = path.indexOf('/', start)
    const raw = slash === -1 ? path.slice(start) : path.slice(start, slash)
    if (usesTemplate) rawParams[name] = raw
    params[name] = decodeSegment(raw)
  }
  out.params = params
  out.rawParams = rawParams
  out.rest = usesTemplate && pattern.prefix ? restAfter(path, pattern.segments.length) : ''
  out.allow = ''
}

/** What follows the first `segmentCount` segments and the slash after them; '' for the bare prefix. */
function restAfter(path: string, segmentCount: number): string {
  let start = 1
  for (let segment = 0; segment < segmentCount; segment++) {
    const slash = path.indexOf('/', start)
    if (slash === -1) return ''
    start = slash + 1
  }
  return path.slice(start)
}

function allowedMethods(
  trees: readonly PathTree<CompiledRoute>[],
  path: string,
  fields: FieldReader,
): string {
  const methods = new Set<string>()
  for (const tree of trees) tree.collectMethods(path, fields, methods)
  return methods.size === 0 ? '' : [...methods].sort().join(', ')
}
