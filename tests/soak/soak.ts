import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ChangeWatch } from '../support/change-watch.ts'
import { startGateway, type TestGateway, type TestScope } from '../support/gateway.ts'
import { Clients } from './clients.ts'
import { type MemoryReading, readMemory, warmUpProbe } from './memory.ts'
import { Origin } from './origins.ts'
import { FIRST_STATE, keyOf, PLUGINS, type Site, type SiteState, siteConfig, stampCode } from './site.ts'
import { Streams } from './streams.ts'

export interface SoakOptions {
  readonly codeSwaps: number
  /** Of routes, plugin config and upstreams in turn, spread evenly among the others. */
  readonly configSwaps: number
  readonly clients: number
  readonly webSockets: number
  readonly streams: number
  readonly workers: number
  /** Whether memory is read when so many swaps have been made. Requests pause meanwhile. */
  readsMemoryAfter(swaps: number): boolean
  /** Whether what answers a reading is made warm before the first swap; see `warmUpProbe`. */
  readonly warmsUpProbe?: boolean
  /** Answers before the first swap. */
  readonly warmUpAnswers?: number
  /** After each reading. */
  onProgress?(swaps: number, reading: readonly MemoryReading[]): void
}

export interface SoakResult {
  readonly swaps: number
  readonly answered: number
  readonly failed: number
  /** Exchanges that saw two generations. */
  readonly mixed: number
  readonly streamMessages: number
  readonly cutStreams: number
  /** Workers that ended or were replaced. */
  readonly workersLost: number
  readonly complaints: readonly string[]
  /** By reading, in order: how many swaps there had been, and what each worker held. */
  readonly memory: readonly { readonly swaps: number; readonly workers: readonly MemoryReading[] }[]
  readonly seconds: number
  /** Of every change: milliseconds from the first sign to commit, and between the workers. */
  readonly changeMs: readonly number[]
  readonly skewMs: readonly number[]
}

/** Changes a gateway again and again under load. Throws when a change does not go live. */
export async function soak(t: TestScope, options: SoakOptions): Promise<SoakResult> {
  await using origins = new AsyncDisposableStack()
  const origin = async (number: number): Promise<string> => origins.use(await Origin.start(number)).url
  const site: Site = { workers: options.workers, origins: [await origin(0), await origin(1)] }
  const gateway = await startGateway(t, {
    config: siteConfig(site, FIRST_STATE),
    plugins: PLUGINS,
    env: { NODE_OPTIONS: '--expose-gc' },
    readyDeadlineMs: 120_000,
  })
  await using changes = await ChangeWatch.start(gateway.dir.path)
  const run = new SoakRun(gateway, site, changes, options)
  try {
    return await run.run()
  } finally {
    run.close()
    await gateway.stop()
  }
}

class SoakRun {
  readonly #gateway: TestGateway
  readonly #site: Site
  readonly #changes: ChangeWatch
  readonly #options: SoakOptions
  readonly #states = new Set([keyOf(FIRST_STATE)])
  readonly #clients: Clients
  readonly #streams: Streams
  readonly #memory: { swaps: number; workers: readonly MemoryReading[] }[] = []
  #state = FIRST_STATE
  #configSwaps = 0

  constructor(gateway: TestGateway, site: Site, changes: ChangeWatch, options: SoakOptions) {
    this.#gateway = gateway
    this.#site = site
    this.#changes = changes
    this.#options = options
    this.#clients = new Clients(gateway.port, options.clients, this.#states)
    this.#streams = new Streams(gateway.port)
  }

  async run(): Promise<SoakResult> {
    const { codeSwaps, configSwaps, webSockets, streams } = this.#options
    const workers = this.#gateway.pids('cardea: worker')
    const startedAt = performance.now()
    if (this.#options.warmsUpProbe === true) await warmUpProbe(this.#gateway.port, workers)
    await this.#streams.open(webSockets, streams)
    this.#clients.resume()
    await this.#clients.traffic(this.#options.clients)
    await this.#warmUp(this.#options.warmUpAnswers ?? 0)
    const swaps = codeSwaps + configSwaps
    for (let swap = 1; swap <= swaps; swap++) {
      // As many config swaps so far as their share is of all.
      const isConfig =
        Math.floor((swap * configSwaps) / swaps) > Math.floor(((swap - 1) * configSwaps) / swaps)
      await (isConfig ? this.#swapConfig() : this.#swapCode())
      if (this.#options.readsMemoryAfter(swap)) await this.#readMemory(swap, workers)
    }
    await this.#clients.traffic(this.#options.clients)
    await this.#clients.pause()
    await this.#streams.proveAlive()
    return this.#result(swaps, workers, performance.now() - startedAt)
  }

  close(): void {
    this.#streams.close()
    this.#clients.close()
  }

  async #warmUp(answers: number): Promise<void> {
    const { clients } = this.#options
    for (let left = answers; left > 0; left -= clients) await this.#clients.traffic(clients)
  }

  #swapCode(): Promise<void> {
    const next = { ...this.#state, code: this.#state.code + 1 }
    return this.#save(next, 'plugins/stamp/plugin.ts', stampCode(next.code))
  }

  /** Routes, plugin config and upstreams in turn. */
  #swapConfig(): Promise<void> {
    const state = this.#state
    const turn = this.#configSwaps++ % 3
    const next: SiteState =
      turn === 0
        ? { ...state, config: state.config + 1 }
        : turn === 1
          ? { ...state, route: state.route + 1 }
          : { ...state, origin: 1 - state.origin }
    return this.#save(next, 'cardea.yaml', `${JSON.stringify(siteConfig(this.#site, next))}\n`)
  }

  async #save(next: SiteState, file: string, text: string): Promise<void> {
    this.#states.add(keyOf(next))
    this.#state = next
    await this.#changes.change(() => writeFile(join(this.#gateway.dir.path, file), text))
  }

  async #readMemory(swaps: number, pids: readonly number[]): Promise<void> {
    await this.#clients.pause()
    const workers = await readMemory(this.#gateway.port, pids)
    this.#memory.push({ swaps, workers })
    this.#options.onProgress?.(swaps, workers)
    this.#clients.resume()
  }

  #result(swaps: number, workers: readonly number[], elapsedMs: number): SoakResult {
    const clients = this.#clients
    const streams = this.#streams
    const now = this.#gateway.pids('cardea: worker')
    const last = this.#memory.at(-1)?.workers ?? []
    return {
      swaps,
      answered: clients.answered,
      failed: clients.failed,
      mixed: clients.mixed + last.reduce((sum, { mixed }) => sum + mixed, 0),
      streamMessages: streams.received,
      cutStreams: streams.cut,
      workersLost: workers.filter((pid) => !now.includes(pid)).length,
      complaints: [...clients.complaints, ...streams.complaints],
      memory: this.#memory,
      seconds: elapsedMs / 1_000,
      changeMs: this.#changes.reports.map(totalOf),
      skewMs: this.#changes.reports.flatMap(({ skewMs }) => skewMs ?? []),
    }
  }
}

function totalOf({ stages }: { readonly stages: readonly { stage: string; ms: number }[] }): number {
  return stages.find(({ stage }) => stage === 'total')?.ms ?? 0
}
