import type { RoutePlan } from '../../protocol/generation.ts'
import { routePlan } from '../../protocol/test-plans.ts'

/** A route as tests need it: everything defaulted but what the test is about. */
export function route(name: string, rest: Partial<RoutePlan> = {}): RoutePlan {
  const action = { kind: 'upstream', upstream: 'api', host: { kind: 'preserve' } } as const
  return routePlan({ name, action, ...rest })
}

export function redirect(location: string, paths: readonly string[] = ['/*']): RoutePlan {
  return route('moved', { paths, action: { kind: 'redirect', status: 308, location } })
}
