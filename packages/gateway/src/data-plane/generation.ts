import type { GatewaySettings, GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import type { LiveInstance } from '../protocol/instance.ts'
import { type Answer, answerOf } from './answer.ts'
import { Chain, type ChainPlace } from './chain/chain.ts'
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

/** A generation compiled for one worker. Exchanges pin it; when the last lets go after its successor came, it is freed. */
export class Generation {
  readonly number: number
  readonly settings: GatewaySettings
  readonly router: Router
  readonly routes: readonly LiveRoute[]
  readonly instances: ReadonlyMap<number, LiveInstance>
  readonly #plans: ReadonlyMap<number, InstancePlan>
  readonly #upstreams: ReadonlyMap<string, Upstream>
  readonly #onFree: (generation: Generation) => void
  #pins = 0
  #retired = false

  constructor(
    plan: GenerationPlan,
    instances: ReadonlyMap<number, LiveInstance>,
    registry: UpstreamRegistry,
    onFree: (generation: Generation) => void,
  ) {
    this.number = plan.number
    this.settings = plan.settings
    this.instances = instances
    this.#plans = new Map(plan.instances.map((instance) => [instance.id, instance]))
    this.router = compileRouter(plan.routes)
    this.#upstreams = new Map(plan.upstreams.map((upstream) => [upstream.name, registry.open(upstream)]))
    this.routes = this.router.routes.map((compiled) => this.#liveRoute(compiled))
    this.#onFree = onFree
  }

  get upstreams(): Iterable<Upstream> {
    return this.#upstreams.values()
  }

  #liveRoute(compiled: CompiledRoute): LiveRoute {
    const { action, chain } = compiled.plan
    return {
      compiled,
      chain: new Chain(chain.map((id) => this.#place(id))),
      upstream: action.kind === 'upstream' ? this.#upstream(action.upstream) : null,
      answer: action.kind === 'respond' ? answerOf(action.status, action.headers, action.body) : null,
    }
  }

  #place(id: number): ChainPlace {
    const plan = this.#plans.get(id)
    const instance = this.instances.get(id)
    if (plan === undefined || instance === undefined) {
      throw new Error(`The plan names instance ${id}, which was not started`)
    }
    return { plan, instance }
  }

  #upstream(name: string): Upstream {
    const upstream = this.#upstreams.get(name)
    if (upstream === undefined) throw new Error(`The plan names upstream "${name}", which it does not hold`)
    return upstream
  }

  pin(): void {
    this.#pins++
  }

  unpin(): void {
    if (--this.#pins === 0 && this.#retired) this.#onFree(this)
  }

  /** A successor took over: freed at once, or when the last exchange ends. */
  retire(): void {
    this.#retired = true
    if (this.#pins === 0) this.#onFree(this)
  }
}
