import type { PluginManifest } from '../config/types.ts'
import type { GatewayStatus, PinStatus, PluginInfo, PluginVersion } from '../protocol/control.ts'
import type { ListenAddress, LostAddress } from '../protocol/listen-address.ts'
import type { PluginStatus } from '../protocol/plugin-state.ts'
import type { ChangeEngine } from './change-engine.ts'
import type { FaultPolicy } from './fault-policy.ts'
import type { Candidate } from './gather.ts'
import { shownConfig } from './shown-config.ts'
import type { EventLog } from './store/event-log.ts'
import type { GenerationStore } from './store/generation-store.ts'
import { pinStatus } from './store/pins.ts'
import type { Workers } from './workers.ts'

const EVENTS_SHOWN_MAX = 50
const NO_SOURCES: ReadonlyMap<string, string> = new Map()

export interface StatusBoardOptions {
  readonly engine: ChangeEngine
  readonly workers: Workers
  readonly faults: FaultPolicy
  readonly store: GenerationStore
  readonly events: EventLog
  /** Unix time of the gateway's start. */
  readonly startedAt: number
  readonly directory: string
  /** Absolute path of the config file; null: there is none. */
  readonly config: string | null
  /** Of what is committed. */
  addresses(): readonly ListenAddress[]
  /** Those of them that nobody listens on; where a change is just being committed, of that or of what was before. */
  lostAddresses(): readonly LostAddress[]
}

/** What a person can learn of the running gateway. */
export class StatusBoard {
  readonly #options: StatusBoardOptions

  constructor(options: StatusBoardOptions) {
    this.#options = options
  }

  async status(): Promise<GatewayStatus> {
    const { engine, workers, faults, events, startedAt, directory, config } = this.#options
    const census = await workers.census()
    const plan = engine.livePlan
    return {
      generation: plan?.number ?? 0,
      startedAt,
      directory,
      config,
      ...this.#listening(),
      workers: [...census].map(([worker, counted]) => ({ worker, census: counted })),
      plugins: this.#plugins(),
      instances: plan?.instances.map((instance) => faults.statusOf(instance)) ?? [],
      pending: engine.pending?.report ?? null,
      asked: engine.asked?.report ?? null,
      waiting: engine.waiting,
      pins: this.#pins(),
      events: events.recentEvents(EVENTS_SHOWN_MAX),
    }
  }

  #listening(): Pick<GatewayStatus, 'addresses' | 'lostAddresses'> {
    const all = this.#options.addresses()
    const lost = this.#options.lostAddresses().filter((one) => all.some((address) => isSame(one, address)))
    return {
      addresses: all.filter((address) => !lost.some((one) => isSame(one, address))),
      lostAddresses: lost,
    }
  }

  /** Of all plugins that were found by the latest change, belong to what serves, or are switched off. */
  pluginNames(): readonly string[] {
    const { engine } = this.#options
    const running = this.#candidate?.plan.instances.map(({ plugin }) => plugin) ?? []
    const live = this.#candidate?.lifecycle.plugins.map(({ name }) => name) ?? []
    const found = this.#plugins().map(({ name }) => name)
    return [...new Set([...found, ...running, ...live, ...engine.overlay.controls.disabled])]
  }

  async pluginInfo(name: string): Promise<PluginInfo> {
    const { faults } = this.#options
    const candidate = this.#candidate
    const status = this.#plugins().find((plugin) => plugin.name === name)
    const links = new Map(
      candidate?.chains.flatMap(({ links: all }) => all).map((link) => [link.instance.id, link]),
    )
    const instances = candidate?.plan.instances.filter(({ plugin }) => plugin === name) ?? []
    const manifest = instances.length > 0 ? this.#servedManifest(name) : this.#readManifest(status)
    const schema = manifest?.configSchema ?? null
    const written = [candidate?.config.unexpanded, manifest?.config]
    return {
      name,
      version: manifest?.version ?? status?.version ?? null,
      description: manifest?.description ?? '',
      folder: status?.folder ?? manifest?.folder ?? '',
      state: status?.state ?? this.#stateWithoutFiles(name),
      pin: this.#pins().find(({ unit }) => unit === name) ?? null,
      category: manifest?.category ?? null,
      dependencies: manifest?.dependencies ?? {},
      permissions: [
        ...new Set([
          ...(manifest?.permissions ?? []),
          ...instances.flatMap(({ permissions }) => permissions),
        ]),
      ],
      instances: instances.map((instance) => ({
        ...faults.statusOf(instance),
        routes:
          candidate?.plan.routes
            .filter(({ chain }) => chain.includes(instance.id))
            .map((route) => route.name) ?? [],
        config: shownConfig(instance.config, links.get(instance.id)?.sources ?? NO_SOURCES, written, schema),
        sources: Object.fromEntries(links.get(instance.id)?.sources ?? NO_SOURCES),
      })),
      versions: await this.versionsOf(name),
    }
  }

  /**
   * To the store a version is live that the live generation has the code of. It has that of plugins too which run nowhere: a
   * command has switched them off, or no route names them.
   */
  async versionsOf(name: string): Promise<readonly PluginVersion[]> {
    const { engine, store } = this.#options
    const versions = await store.versionsOf(name)
    const runs = engine.livePlan?.instances.some(({ plugin }) => plugin === name) ?? false
    return runs ? versions : versions.map((version) => ({ ...version, isLive: false }))
  }

  #servedManifest(name: string): PluginManifest | null {
    return this.#candidate?.built.find(({ manifest }) => manifest.name === name)?.manifest ?? null
  }

  /** Of what runs nowhere the generation may have what its files said once. */
  #readManifest(status: PluginStatus | undefined): PluginManifest | null {
    return status === undefined ? null : this.#options.engine.plugins.manifestOf(status.folder)
  }

  #stateWithoutFiles(name: string): PluginInfo['state'] {
    const isSwitchedOff = this.#options.engine.overlay.controls.disabled.includes(name)
    return isSwitchedOff ? { kind: 'disabled', by: 'command' } : { kind: 'stopped', generation: 0 }
  }

  get #candidate(): Candidate | null {
    return this.#options.engine.reference?.candidate ?? null
  }

  #plugins(): readonly PluginStatus[] {
    return this.#options.engine.plugins.plugins
  }

  #pins(): readonly PinStatus[] {
    const live = this.#options.store.latest()
    return this.#options.engine.overlay.pins.map((pin) => pinStatus(pin, live))
  }
}

function isSame(a: ListenAddress, b: ListenAddress): boolean {
  return a.host === b.host && a.port === b.port
}
