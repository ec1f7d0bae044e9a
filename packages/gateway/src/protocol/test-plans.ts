import type { InstancePlan, RoutePlan } from './generation.ts'

/** Parts of a generation for tests, as the control plane makes them where nothing is written but what must be. */

export function instancePlan(changes: Partial<InstancePlan> = {}): InstancePlan {
  return {
    id: 1,
    name: 'sample',
    plugin: 'sample',
    version: '1.0.0',
    codeHash: '',
    entryPoint: 'PluginMain',
    config: {},
    category: 'transform',
    priority: 100,
    permissions: [],
    timeoutMs: 1_000,
    onFailure: { kind: 'closed' },
    key: '',
    dependencies: [],
    incarnation: 0,
    quarantined: false,
    ...changes,
  }
}

/** To the upstream `origin`, whatever the path is. */
export function routePlan(changes: Partial<RoutePlan> = {}): RoutePlan {
  return {
    name: 'all',
    hosts: [],
    paths: ['/*'],
    methods: [],
    headers: {},
    action: { kind: 'upstream', upstream: 'origin', host: { kind: 'preserve' } },
    stripPrefix: '',
    rewrite: '',
    allowInPath: [],
    requestBodyBytesMax: 0,
    chain: [],
    ...changes,
  }
}
