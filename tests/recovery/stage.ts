import { decidedIn, STOPS_AT_DECISION, stopAtDecision } from '../support/decisions.ts'
import { startGateway, startGatewayIn, type TestGateway, type TestScope } from '../support/gateway.ts'
import { sayings } from '../support/log-lines.ts'
import { haveEnded, killProcesses, signalProcesses } from '../support/processes.ts'
import { withTempDir } from '../support/temp-dir.ts'
import { type BaseAnswer, readBase, Traffic } from '../support/traffic.ts'
import { type Files, type Step, SteppedPlugin } from './stepped-plugin.ts'

export const WORKERS = 2
const configOf = (body: string) => ({
  listen: [{ host: '127.0.0.1', port: 0 }],
  workers: WORKERS,
  debug: true,
  routes: [{ name: 'all', path: '/*', respond: { status: 200, body } }],
  // The plugin stands still on purpose.
  faults: { stall: 0 },
})

interface Answer extends BaseAnswer {
  readonly generation: number
  readonly version: number
}

/** A gateway with one plugin that can be stopped at each step of its change, under constant traffic. */
export class Stage {
  readonly gateway: TestGateway
  readonly plugin: SteppedPlugin
  readonly traffic: Traffic<Answer>
  /** Of the plugin, as it was saved last. */
  #version: number
  /** The supervisor that was stopped. */
  #stopped = 0

  private constructor(gateway: TestGateway, plugin: SteppedPlugin, version: number) {
    this.gateway = gateway
    this.plugin = plugin
    this.#version = version
    this.traffic = new Traffic({
      port: gateway.port,
      kept: 3,
      fresh: 1,
      read: (response) => ({
        ...readBase(response),
        generation: Number(response.field('x-cardea-generation')),
        version: Number(response.field('x-version')),
      }),
    })
  }

  static start(t: TestScope): Promise<Stage> {
    return Stage.#start(t, null)
  }

  /** One that had nothing to serve at its start: its plugin was mended since. */
  static startBroken(t: TestScope): Promise<Stage> {
    return Stage.#start(t, async (gateway, files) => {
      const said = sayings(gateway)
      await gateway.dir.write({ 'plugins/stepped/plugin.ts': files['plugin.ts'] })
      // It is said when all workers serve it: until then one of them has nothing, and says so.
      await said(/Generation \d+ is live/)
    })
  }

  static async #start(
    t: TestScope,
    mend: ((gateway: TestGateway, files: Files) => Promise<void>) | null,
  ): Promise<Stage> {
    let stage: Stage | null = null
    const steps = await withTempDir()
    t.after(async () => {
      await stage?.traffic.stop()
      await steps[Symbol.asyncDispose]()
    })
    const plugin = new SteppedPlugin(steps.path)
    const files = await plugin.files(1)
    const stepped = mend === null ? files : { ...files, 'plugin.ts': 'export const' }
    const gateway = await startGateway(t, {
      config: configOf('here'),
      plugins: { stepped },
      env: STOPS_AT_DECISION,
    })
    await mend?.(gateway, files)
    stage = new Stage(gateway, plugin, 1)
    await stage.agrees()
    return stage
  }

  /** After the gateway of another stage has ended, in its folder. */
  static async restart(t: TestScope, { gateway, plugin, version }: Stage): Promise<Stage> {
    let stage: Stage | null = null
    t.after(() => stage?.traffic.stop())
    stage = new Stage(await startGatewayIn(t, gateway.dir, { env: STOPS_AT_DECISION }), plugin, version)
    return stage
  }

  get version(): number {
    return this.#version
  }

  /** Saves the next version of the plugin, which waits in these processes at the step. */
  async save(step: Step = 'start', waiting: readonly string[] = []): Promise<void> {
    this.#version += 1
    const files = await this.plugin.files(this.#version, step, waiting)
    await this.gateway.dir.write({
      'plugins/stepped/plugin.json': files['plugin.json'],
      'plugins/stepped/plugin.ts': files['plugin.ts'],
    })
  }

  /** Saves a plugin that cannot be built. */
  async saveBroken(): Promise<void> {
    await this.gateway.dir.write({ 'plugins/stepped/plugin.ts': 'export const' })
  }

  /** Saves a config with another answer. */
  async configure(body: string): Promise<void> {
    await this.gateway.dir.write({ 'cardea.yaml': configOf(body) })
  }

  /** Resolves with the names of those that are at the step of what was saved last. */
  reached(step: Step, count: number): Promise<string[]> {
    return this.plugin.reached(this.#version, step, count)
  }

  /** Whoever of that name comes to the step of what was saved last waits there from now on. */
  hold(step: Step, name: string): Promise<void> {
    return this.plugin.hold(this.#version, step, name)
  }

  release(step: Step, name: string | null = null): Promise<void> {
    return this.plugin.release(this.#version, step, name)
  }

  /** Kills a process by the name that `reached` has for it, and resolves when it is gone. */
  async kill(name: string): Promise<void> {
    await killProcesses(this.gateway.pids(`cardea: ${name.replace('-', ' ')}`))
  }

  /** Kills the master. Resolves with what resolves when all other processes are gone. */
  async killMaster(): Promise<() => Promise<unknown>> {
    const { gateway, traffic } = this
    const pids = gateway.pids()
    await killProcesses([gateway.pid])
    const isStopped = traffic.stop()
    return async () => {
      await haveEnded(pids)
      await isStopped
    }
  }

  /** Stops the supervisor when the next generation is decided. Resolves then. */
  stopsAtDecision(): Promise<void> {
    const [supervisor] = this.gateway.pids('cardea: supervisor')
    if (supervisor === undefined) throw new Error('There is no supervisor')
    this.#stopped = supervisor
    return stopAtDecision(this.gateway.dir, supervisor)
  }

  /** Lets it go on, if it still lives. */
  continues(): void {
    signalProcesses([this.#stopped], 'SIGCONT')
  }

  /** Resolves when all workers serve the newest decided generation, and it has that version of the plugin. */
  async agrees(version: number = this.#version): Promise<void> {
    await this.traffic.turns(
      (answer) =>
        answer.status === 200 &&
        answer.version === version &&
        answer.generation === decidedIn(this.gateway.dir),
      `version ${version} everywhere`,
      WORKERS,
    )
    await this.traffic.turnsOver()
  }

  /** Resolves when all workers serve the newest decided generation, whichever that is. */
  async settles(): Promise<void> {
    await this.traffic.turns(
      ({ status, generation }) => status === 200 && generation === decidedIn(this.gateway.dir),
      'one generation everywhere',
      WORKERS,
    )
  }

  /** What the gateway says from now on. */
  listen(): (said: RegExp) => Promise<string> {
    return sayings(this.gateway)
  }

  /** The workers that ended, whoever killed them. */
  get workersEnded(): number {
    return this.gateway.stderr.match(/"Worker \d+ ended: /g)?.length ?? 0
  }

  /** Nothing failed but what was in flight in workers that were killed, and no generation was two things. */
  get faults(): readonly string[] {
    const { answers, lost, clients } = this.traffic
    const versions = new Map<number, number>()
    const wrong = answers.filter(({ status, generation, version }) => {
      const known = versions.get(generation) ?? version
      versions.set(generation, known)
      return status !== 200 || version === 0 || version !== known
    })
    const lostMax = this.workersEnded * clients
    return [...wrong.map((answer) => JSON.stringify(answer)), ...(lost.length > lostMax ? lost : [])]
  }
}
