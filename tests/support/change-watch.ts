import { watchGateway } from '../../packages/gateway/src/cli/control-client.ts'
import type { ChangeReport } from '../../packages/gateway/src/protocol/control.ts'
import { waitFor } from './wait-for.ts'

/** What becomes of the changes of a gateway, as its control socket tells. */
export class ChangeWatch implements AsyncDisposable {
  readonly reports: ChangeReport[] = []
  readonly #end = new AbortController()
  readonly #ended: Promise<void>
  readonly #connected = Promise.withResolvers<void>()

  private constructor(directory: string) {
    this.#ended = watchGateway({
      directory,
      who: 'test',
      traces: false,
      signal: this.#end.signal,
      onConnected: async () => this.#connected.resolve(),
      onEvent: (event) => {
        if (event.kind === 'change') this.reports.push(event.report)
      },
    })
  }

  /** `directory`: that of the config file. Resolves when every change from now on will be seen. */
  static async start(directory: string): Promise<ChangeWatch> {
    const watch = new ChangeWatch(directory)
    await watch.#connected.promise
    return watch
  }

  /**
   * Makes one change and waits until it is live. Throws when it does not go live, with the reason.
   *
   * @param save what leads to it: saves a file.
   */
  async change(save: () => Promise<void>): Promise<ChangeReport> {
    const before = this.reports.length
    await save()
    const report = await waitFor(() => this.reports[before], 'the report of a change')
    if (report.outcome === 'committed') return report
    const reasons = report.problems.map(({ message }) => message)
    throw new Error(`The change is ${report.outcome}: ${reasons.join('; ')} ${JSON.stringify(report.held)}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort()
    await this.#ended
  }
}
