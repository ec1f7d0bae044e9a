import { renderFailure } from '../control-plane/report.ts'
import { delayOf, type Missing } from '../control-plane/stand-in.ts'
import { stderrLines } from '../observe/line-writer.ts'
import type { GatewayLog } from '../observe/log.ts'
import type { ChangeReport, ControlEvent } from '../protocol/control.ts'
import type { ServeOptions } from '../protocol/master-supervisor.ts'

/** The start was to be strict, and the files cannot be served. The message is for the person who started it. */
export class StartRefused extends Error {}

export interface StartOutcomeOptions {
  readonly serve: ServeOptions
  readonly log: GatewayLog
  onEvent(event: ControlEvent): void
}

/** What became of a start, and what the person who made it is told of that. */
export class StartOutcome {
  readonly #options: StartOutcomeOptions
  readonly #stoodIn = Promise.withResolvers<void>()

  constructor(options: StartOutcomeOptions) {
    this.#options = options
  }

  /**
   * Resolves when it is known what the gateway serves for now. What becomes of the files is told then or later. Throws
   * StartRefused. `live`: the generation that serves; 0 for none.
   */
  async known(asked: Promise<ChangeReport>, live: () => number): Promise<void> {
    const { serve } = this.#options
    const told = asked.then((report) => {
      if (report.outcome !== 'failed' && report.outcome !== 'held') return
      if (serve.strict) throw new StartRefused(renderFailure(report))
      this.#tell(`${renderFailure(report)}\n${whatServesInstead(live(), report)}\n`)
    })
    await Promise.race([told, this.#stoodIn.promise])
    if (serve.strict && live() === 0) {
      throw new StartRefused('The generation that served last cannot be started again; the log says why')
    }
  }

  /** That generation, which served last, serves before anybody knows what becomes of the files. */
  stoodIn(generation: number, { at, changes }: Missing): void {
    const { log, onEvent } = this.#options
    const { who, subject, delay } = delayOf(at)
    const instead = `generation ${generation}, which served last, serves meanwhile`
    log.events.warn(`The files are not live yet, since ${subject} ${delay}: ${instead}`, { changes })
    onEvent({ kind: 'decision', at: Date.now(), plugin: who, text: `${delay} at the start: ${instead}` })
    this.#tell(
      `THE FILES ARE NOT SERVED YET: ${subject} ${delay}. Until it is known whether they can be served, generation ` +
        `${generation}, which served last, is served instead.\n`,
    )
    this.#stoodIn.resolve()
  }

  /** `cardea dev` shows it itself. */
  #tell(text: string): void {
    if (!this.#options.serve.quiet) stderrLines.write(text)
  }
}

/** Which generation is served since the files cannot be, for the person who started it; 0: none. */
function whatServesInstead(live: number, { outcome }: ChangeReport): string {
  const orApproved = outcome === 'held' ? ', or "cardea approve" is run' : ''
  return live === 0
    ? `NOTHING IS SERVED: every request is answered 503 until the files are mended${orApproved}.`
    : `THE FILES ARE NOT SERVED: generation ${live}, which served last, is served instead until they are mended.`
}
