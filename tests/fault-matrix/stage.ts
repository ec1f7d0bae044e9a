import { randomUUID } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startGateway, type TestGateway } from '../support/gateway.ts'
import { sayings } from '../support/log-lines.ts'
import { Traffic } from '../support/traffic.ts'
import { type Answer, CheckingUpstream, readAnswer } from './checking-upstream.ts'
import { type Kind, PLUGIN_OF, type PluginForm, pluginFiles } from './plugins.ts'

export const WORKERS = 2

/** One gateway starts at a time: five processes each, on two cores. */
let starting: Promise<unknown> = Promise.resolve()
const KEPT_CLIENTS = 4
const FRESH_CLIENTS = 2

export interface StageOptions {
  /** The route names both plugins, which run nowhere else. Default: they run on every route. */
  readonly isNamed?: boolean
  /** What stands in the files at the first start. Default: version 1, well. */
  readonly firstForm?: (kind: Kind) => PluginForm
}

/** A gateway of two workers, with both plugins on its only route, under constant traffic. */
export class Stage {
  readonly gateway: TestGateway
  readonly upstream: CheckingUpstream
  readonly traffic: Traffic<Answer>
  readonly #isNamed: boolean
  /** Of what was written last. */
  readonly #versions: Record<Kind, number> = { security: 1, observe: 1 }

  private constructor(
    gateway: TestGateway,
    upstream: CheckingUpstream,
    traffic: Traffic<Answer>,
    { isNamed = false }: StageOptions,
  ) {
    this.gateway = gateway
    this.upstream = upstream
    this.traffic = traffic
    this.#isNamed = isNamed
  }

  /** Ends with the test. */
  static async start(t: TestContext, options: StageOptions = {}): Promise<Stage> {
    const { isNamed = false, firstForm = () => ({ version: 1 }) } = options
    const upstream = await CheckingUpstream.start(randomUUID())
    let traffic: Traffic<Answer> | null = null
    // Before the gateway goes, which then has nothing to lose.
    t.after(async () => {
      await traffic?.stop()
      await upstream[Symbol.asyncDispose]()
    })
    const manifest = isNamed ? { scope: 'route' } : {}
    const filesOf = (kind: Kind) => pluginFiles(kind, upstream.secret, { manifest, ...firstForm(kind) })
    const begin = () =>
      startGateway(t, {
        config: {
          workers: WORKERS,
          upstreams: { app: { targets: [upstream.url] } },
          routes: [
            {
              name: 'app',
              path: '/*',
              upstream: 'app',
              ...(isNamed ? { plugins: { guard: {}, watch: {} } } : {}),
            },
          ],
          faults: { breaker_calls_min: 20, breaker_open: '200ms' },
        },
        plugins: { guard: filesOf('security'), watch: filesOf('observe') },
      })
    const started = starting.then(begin)
    starting = started.catch(() => {})
    const gateway = await started
    traffic = new Traffic({
      port: gateway.port,
      kept: KEPT_CLIENTS,
      fresh: FRESH_CLIENTS,
      // They try to pass for checked.
      lines: ['x-guard: forged/1'],
      read: readAnswer,
    })
    return new Stage(gateway, upstream, traffic, options)
  }

  versionOf(kind: Kind): number {
    return this.#versions[kind]
  }

  /** The files of the next version. */
  next(kind: Kind, form: Omit<PluginForm, 'version'> = {}): ReturnType<typeof pluginFiles> {
    this.#versions[kind] += 1
    return this.filesOf(kind, form)
  }

  /** The files of the version at hand in another form. */
  filesOf(kind: Kind, form: Omit<PluginForm, 'version'> = {}): ReturnType<typeof pluginFiles> {
    const manifest = { ...(this.#isNamed ? { scope: 'route' } : {}), ...form.manifest }
    return pluginFiles(kind, this.upstream.secret, { ...form, version: this.#versions[kind], manifest })
  }

  /**
   * Writes files into the plugin's folder. A fault is a change of one file: two of them could be read one before and one
   * after it, and what was made of that would be neither what was nor what is.
   */
  async write(kind: Kind, files: Readonly<Record<string, string>>): Promise<void> {
    const entries = Object.entries(files)
    await this.gateway.dir.write(
      Object.fromEntries(entries.map(([name, text]) => [`plugins/${PLUGIN_OF[kind]}/${name}`, text])),
    )
  }

  async removeFolder(name: string): Promise<void> {
    await rm(join(this.gateway.dir.path, 'plugins', name), { recursive: true, force: true })
  }

  async renameFolder(from: string, to: string): Promise<void> {
    const plugins = join(this.gateway.dir.path, 'plugins')
    await rename(join(plugins, from), join(plugins, to))
  }

  /** What the gateway says from now on. */
  listen(): (said: RegExp) => Promise<string> {
    return sayings(this.gateway)
  }

  /** Resolves when all workers serve, with what was written last of both plugins. */
  async isWell(): Promise<void> {
    const { security, observe } = this.#versions
    await this.traffic.turns(
      ({ status, guard, watch }) => status === 200 && guard === `/${security}` && watch === `${observe}`,
      `versions ${security} and ${observe}`,
      WORKERS,
    )
    // What was begun under a fault may end under it.
    await this.traffic.turnsOver()
  }
}
