import type { GenerationPlan, InstancePlan, RoutePlan } from '../protocol/generation.ts'
import type { ReadySummary, RouteSummary } from '../protocol/master-supervisor.ts'

/** What the start output shows of a generation. */
export function summarise(plan: GenerationPlan): ReadySummary {
  return {
    generation: plan.number,
    workers: plan.settings.workers,
    routes: plan.routes.map((route) => summariseRoute(plan, route)),
  }
}

function summariseRoute(plan: GenerationPlan, route: RoutePlan): RouteSummary {
  const instances = new Map(plan.instances.map((instance) => [instance.id, instance]))
  const chain = route.chain.flatMap((id) => {
    const instance = instances.get(id)
    return instance === undefined ? [] : [describeInstance(instance)]
  })
  const { name, hosts, paths, methods } = route
  return { name, hosts, paths, methods, action: describeAction(plan, route), chain }
}

function describeInstance({ name, plugin, quarantined }: InstancePlan): string {
  const notes = [...(name === plugin ? [] : [plugin]), ...(quarantined ? ['quarantined'] : [])]
  return notes.length === 0 ? name : `${name} (${notes.join(', ')})`
}

function describeAction(plan: GenerationPlan, { action }: RoutePlan): string {
  if (action.kind === 'respond') return `answer ${action.status}`
  if (action.kind === 'redirect') return `redirect ${action.status} ${action.location}`
  const upstream = plan.upstreams.find(({ name }) => name === action.upstream)
  const targets = upstream?.targets.map(({ url }) => url) ?? []
  return targets.length === 0 ? action.upstream : targets.join(', ')
}
