import type { GatewaySettings, GenerationPlan, InstancePlan, UpstreamPlan } from '../protocol/generation.ts'
import type { LiveInstance } from '../protocol/instance.ts'
import { type Answer, answerOf } from './answer.ts'
import { Chain, type ChainPlace } from './chain/chain.ts'
import type { GuardBook } from './chain/guard.ts'
import { type CompiledRoute, compileRouter, type Router } from './routing/router.ts'
import type { Upstream, UpstreamRegistry } from './upstream/upstream.ts'

/** What a route needs at run time besides its match. */
export interface LiveRoute {
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
  #pins = 0
  #retired = false

  /** Throws when the plan does not compile; nothing is held then. */
  constructor(plan: GenerationPlan, { instances, registry, guards, onFree }: GenerationParts) {
    using held = new DisposableStack()
    this.number = plan.number
    this.settings = plan.settings
    this.shownNumber = plan.settings.debug ? String(plan.number) : null
    this.via = `1.1 ${plan.settings.viaName}`
    this.viaHttp10 = `1.0 ${plan.settings.viaName}`
    this.quarantined = plan.instances.filter(({ quarantined }) => quarantined).map(({ key }) => key)
    this.upstreamPlans = plan.upstreams
    this.router = compileRouter(plan.routes)
    const places = new Map(
      plan.instances.map((instance) => [instance.id, placeOf(instance, instances, guards, held)]),
    )
    const upstreams = new Map(
      plan.upstreams.map((upstream) => [
        upstream.name,
        held.adopt(registry.open(upstream, plan.settings), (opened) =>
          registry.release(opened, this.#retired),
        ),
      ]),
    )
    this.routes = this.router.routes.map((compiled) => liveRoute(compiled, places, upstreams))
    held.defer(onFree)
    this.#upstreams = upstreams
    this.#registry = registry
    this.#held = held.move()
  }

  /** How many run on it. */
  get exchanges(): number {
    return this.#pins
  }

  pin(): void {
    this.#pins++
  }

  unpin(): void {
    if (--this.#pins === 0 && this.#retired) this.#held.dispose()
  }

  /** A successor took over: freed at once, or when the last exchange ends. */
  retire(): void {
    this.#retired = true
    for (const upstream of this.#upstreams.values()) this.#registry.retire(upstream)
    if (this.#pins === 0) this.#held.dispose()
  }
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
  compiled: CompiledRoute,
  places: ReadonlyMap<number, ChainPlace>,
  upstreams: ReadonlyMap<string, Upstream>,
): LiveRoute {
  const { action, chain } = compiled.plan
  return {
    compiled,
    chain: new Chain(chain.map((id) => known(places, id, 'instance'))),
    upstream: action.kind === 'upstream' ? known(upstreams, action.upstream, 'upstream') : null,
    answer: action.kind === 'respond' ? answerOf(action.status, action.headers, action.body) : null,
  }
}

function known<Key, Value>(things: ReadonlyMap<Key, Value>, key: Key, what: string): Value {
  const thing = things.get(key)
  if (thing === undefined) throw new Error(`A route names ${what} "${key}", which the plan does not hold`)
  return thing
}
