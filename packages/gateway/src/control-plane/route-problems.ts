import { planSettings } from '../config/plan.ts'
import { alsoProblems } from '../config/problem.ts'
import type { ConfigProblem, LoadedConfig } from '../config/types.ts'
import type { RoutePlan } from '../protocol/generation.ts'

/** What keeps routes from being served. The data plane knows how they match. */
export type FindRouteProblems = (routes: readonly RoutePlan[]) => readonly RouteProblem[]

export interface RouteProblem {
  /** Where the route to mend stands among those given. */
  readonly index: number
  /** A sentence: the offender, the reason, the way out. */
  readonly message: string
}

const NONE: ReadonlySet<number> = new Set()

/**
 * What only the router can say of routes that are valid by themselves: that it cannot tell them apart, that templates do
 * not compile. Each at its route.
 *
 * @param unread indexes of the routes that are left out.
 */
export function routeProblems(
  config: LoadedConfig,
  find: FindRouteProblems,
  unread: ReadonlySet<number> = NONE,
): ConfigProblem[] {
  const drafts = [...planSettings(config).routes.entries()].filter(([index]) => !unread.has(index))
  const plans = drafts.map(([, draft]) => ({ ...draft, chain: [] }))
  return find(plans).flatMap(({ index: among, message }) => {
    const [index, draft] = drafts[among] ?? []
    if (index === undefined || draft === undefined) return []
    return {
      ...config.source.locate(`/routes/${index}`),
      code: 'CONFIG_INVALID',
      key: `routes[${index}]`,
      given: draft.name,
      expected:
        'a route that the router can tell from the others, of a path and templates that it can compile',
      nearest: null,
      message,
    }
  })
}

/** With what the router says; of a route that conflicts with others it knows all, and the config's own rules some. */
export function withRouteProblems(
  problems: readonly ConfigProblem[],
  ofRouter: readonly ConfigProblem[],
): ConfigProblem[] {
  const told = new Set(ofRouter.map(({ key }) => key))
  return alsoProblems(
    problems.filter(({ conflict, key }) => conflict !== true || !told.has(key)),
    ofRouter,
  )
}
