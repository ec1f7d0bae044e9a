import { planSettings } from '../config/plan.ts'
import type { ConfigProblem, LoadedConfig } from '../config/types.ts'
import { findRouteProblems } from '../data-plane/routing/conflicts.ts'

/**
 * What only the router can say of routes that are valid by themselves: that it cannot tell them apart, that templates do
 * not compile.
 *
 * @param unread indexes of the routes that are left out.
 */
export function routeProblems(config: LoadedConfig, unread: ReadonlySet<number>): ConfigProblem[] {
  const drafts = planSettings(config).routes
  const plans = drafts.filter((_, index) => !unread.has(index)).map((draft) => ({ ...draft, chain: [] }))
  return findRouteProblems(plans).map(({ route, message }) => {
    const index = drafts.findIndex(({ name }, at) => name === route && !unread.has(at))
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
