import type { RoutePlan } from '../../protocol/generation.ts'

/** A route as tests need it: everything defaulted but what the test is about. */
export function route(name: string, rest: Partial<RoutePlan> = {}): RoutePlan {
  return {
    name,
    hosts: [],
    paths: ['/*'],
    methods: [],
    headers: {},
    action: { kind: 'upstream', upstream: 'api', host: { kind: 'preserve' } },
    stripPrefix: '',
    rewrite: '',
    allowInPath: [],
    requestBodyBytesMax: 0,
    chain: [],
    ...rest,
  }
}

export function redirect(location: string, paths: readonly string[] = ['/*']): RoutePlan {
  return route('moved', { paths, action: { kind: 'redirect', status: 308, location } })
}
