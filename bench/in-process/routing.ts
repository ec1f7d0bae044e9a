import { normalizePath, PathFindings } from '../../packages/gateway/src/data-plane/routing/path.ts'
import { compileRouter, RouteMatch } from '../../packages/gateway/src/data-plane/routing/router.ts'
import type { RoutePlan } from '../../packages/gateway/src/protocol/generation.ts'
import { routePlan } from '../../packages/gateway/src/protocol/test-plans.ts'
import { readRequest, SMALL_REQUEST } from './codec.ts'
import type { Operation } from './timing.ts'

export function routingOperations(): Operation[] {
  const { fields } = readRequest(SMALL_REQUEST)
  const findings = new PathFindings()
  const match = new RouteMatch()
  const one = compileRouter([routeAt('/*')])
  const hundred = compileRouter(Array.from({ length: 100 }, (_, at) => routeAt(`/service-${at}/items/:id`)))
  const find = (router: typeof one, path: string) => {
    const route = router.match('127.0.0.1:8080', path, 'GET', fields, match)
    if (route === null) throw new Error(`No route takes ${path}.`)
    return route.index + 1
  }
  return [
    { name: 'normalise a plain path', run: () => normalizePath('/assets/app/main.js', findings).length },
    {
      name: 'normalise a path with escapes',
      run: () => normalizePath('/a%73sets/./app/../main.js', findings).length,
    },
    { name: 'match 1 route, /*', run: () => find(one, '/small') },
    { name: 'match 1 of 100 routes, with a parameter', run: () => find(hundred, '/service-77/items/4711') },
  ]
}

export const routeAt = (path: string, chain: readonly number[] = []): RoutePlan =>
  routePlan({ name: path, paths: [path], chain })
