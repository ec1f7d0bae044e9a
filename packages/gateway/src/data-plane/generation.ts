import type { Steps } from '../base/steps.ts'
import type {
  GatewaySettings,
  GenerationPlan,
  InstancePlan,
  RoutePlan,
  UpstreamPlan,
} from '../protocol/generation.ts'
import type { LiveInstance } from '../protocol/instance.ts'
import { type Answer, answerOf } from './answer.ts'
import { Chain, type ChainPlace } from './chain/chain.ts'
import type { GuardBook } from './chain/guard.ts'
import { type CompiledRoute, type Router, routerInSteps } from './routing/router.ts'
import { compilesSame } from './routing/same-routes.ts'
import type { Upstream, UpstreamRegistry } from './upstream/upstream.ts'

/** What a route needs at run time besides its match. */
export interface LiveRoute {
  readonly plan: RoutePlan
  readonly compiled: CompiledRoute
  readonly chain: Chain
  /** Null for respond and redirect routes. */
  readonly upstream: Upstream | null
  /** What a respond route answers. */
  readonly answer: Answer | null
}

/** What generations of one worker share, and who wants to know when one is freed. */
export interface GenerationParts {
  readonly instances: ReadonlyMap<number, LiveInstance>
  readonly registry: UpstreamRegistry
  readonly guards: GuardBook
  onFree(): void
}

/** Whether a successor took over: what a generation holds asks for it when it is let go. */
interface Life {
  isRetired: boolean
}

interface CompiledParts extends Pick<GenerationParts, 'registry'> {
  readonly router: Router
  readonly routes: readonly LiveRoute[]
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly held: DisposableStack
  readonly life: Life
}

/** A generation compiled for one worker. Exchanges pin it; when the last lets go after its successor came, it is freed. */
export class Generation {
  readonly number: number
  readonly settings: GatewaySettings
  /** What answers carry in X-Cardea-Generation; null: they do not. */
  readonly shownNumber: string | null
  /** `1.1 NAME` (RFC 9110, 7.6.3), and what says that a message came as HTTP/1.0. */
  readonly via: string
  readonly viaHttp10: string
  readonly router: Router
  readonly routes: readonly LiveRoute[]
  readonly upstreamPlans: readonly UpstreamPlan[]
  /** Keys of the instances that it says are quarantined. */
  readonly quarantined: readonly string[]
  readonly #upstreams: ReadonlyMap<string, Upstream>
  readonly #registry: UpstreamRegistry
  readonly #held: DisposableStack
  readonly #life: Life
  #pins = 0

  constructor(plan: GenerationPlan, { router, routes, upstreams, registry, held, life }: CompiledParts) {
    this.number = plan.number
    this.settings = plan.settings
    this.shownNumber = plan.settings.debug ? String(plan.number) : null
    this.via = `1.1 ${plan.settings.viaName}`
    this.viaHttp10 = `1.0 ${plan.settings.viaName}`
    this.quarantined = plan.instances.filter(({ quarantined }) => quarantined).map(({ key }) => key)
    this.upstreamPlans = plan.upstreams
    this.router = router
    this.routes = routes
    this.#upstreams = upstreams
    this.#registry = registry
    this.#life = life
    this.#held = held
  }

  /** How many run on it. */
  get exchanges(): number {
    return this.#pins
  }

  pin(): void {
    this.#pins++
  }

  unpin(): void {
    if (--this.#pins === 0 && this.#life.isRetired) this.#held.dispose()
  }

  /** A successor took over: freed at once, or when the last exchange ends. */
  retire(): void {
    this.#life.isRetired = true
    for (const upstream of this.#upstreams.values()) this.#registry.retire(upstream)
    if (this.#pins === 0) this.#held.dispose()
  }
}

/**
 * Compiles a generation, in steps since there may be very many routes. Throws when the plan does not compile; nothing is
 * held then. `previous`: the one that serves, whose router is as good where the routes match as they did.
 */
export function* generationInSteps(
  plan: GenerationPlan,
  { instances, registry, guards, onFree }: GenerationParts,
  previous: Generation | null,
): Steps<Generation> {
  const router = yield* routerOf(plan.routes, previous)
  using held = new DisposableStack()
  const life: Life = { isRetired: false }
  const places = new Map(
    plan.instances.map((instance) => [instance.id, placeOf(instance, instances, guards, held)]),
  )
  const upstreams = new Map(
    plan.upstreams.map((upstream) => [
      upstream.name,
      held.adopt(registry.open(upstream, plan.settings), (opened) =>
        registry.release(opened, life.isRetired),
      ),
    ]),
  )
  const chains = new Map<string, Chain>()
  const routes: LiveRoute[] = []
  for (const [index, route] of plan.routes.entries()) {
    const compiled = router.routes[index]
    if (compiled === undefined) throw new Error(`Route "${route.name}" was not compiled`)
    const ids = route.chain.join()
    const chain = chains.get(ids) ?? new Chain(route.chain.map((id) => known(places, id, 'instance')))
    chains.set(ids, chain)
    routes.push(liveRoute(route, compiled, chain, upstreams))
    yield
  }
  held.defer(onFree)
  return new Generation(plan, { router, routes, upstreams, registry, held: held.move(), life })
}

function* routerOf(plans: readonly RoutePlan[], previous: Generation | null): Steps<Router> {
  if (previous === null || previous.routes.length !== plans.length) return yield* routerInSteps(plans)
  for (const [index, { plan }] of previous.routes.entries()) {
    if (!compilesSame(plan, plans[index])) return yield* routerInSteps(plans)
    yield
  }
  return previous.router
}

function placeOf(
  plan: InstancePlan,
  instances: GenerationParts['instances'],
  guards: GuardBook,
  held: DisposableStack,
): ChainPlace {
  const instance = instances.get(plan.id)
  if (instance === undefined) throw new Error(`The plan names instance ${plan.id}, which was not started`)
  const { guard, release } = guards.open(plan)
  held.defer(release)
  return { plan, instance, guard }
}

function liveRoute(
  plan: RoutePlan,
  compiled: CompiledRoute,
  chain: Chain,
  upstreams: ReadonlyMap<string, Upstream>,
): LiveRoute {
  const { action } = plan
  return {
    plan,
    compiled,
    chain,
    upstream: action.kind === 'upstream' ? known(upstreams, action.upstream, 'upstream') : null,
    answer: action.kind === 'respond' ? answerOf(action.status, action.headers, action.body) : null,
  }
}

function known<Key, Value>(things: ReadonlyMap<Key, Value>, key: Key, what: string): Value {
  const thing = things.get(key)
  if (thing === undefined) throw new Error(`A route names ${what} "${key}", which the plan does not hold`)
  return thing
}
