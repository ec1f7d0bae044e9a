import { planSettings } from '../config/plan.ts'
import type { ConfigProblem, LoadedConfig } from '../config/types.ts'
import { findRouteProblems } from '../data-plane/routing/conflicts.ts'

/** What only the router can say of a valid file: routes that it cannot tell apart, templates that do not compile. */
export function routeProblems(config: LoadedConfig): ConfigProblem[] {
  const drafts = planSettings(config).routes
  const plans = drafts.map((draft) => ({ ...draft, chain: [] }))
  return findRouteProblems(plans).map(({ route, message }) => {
    const index = plans.findIndex(({ name }) => name === route)
    return {
      ...config.source.locate(`/routes/${index}`),
      code: 'CONFIG_INVALID',
      key: `routes[${index}]`,
      given: route,
      expected: 'routes that the router can tell apart',
      nearest: null,
      message,
    }
  })
}
