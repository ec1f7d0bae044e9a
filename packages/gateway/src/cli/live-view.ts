import type { ChangeReport, ControlEvent, GatewayStatus } from '../protocol/control.ts'
import { changeText, headlineOf, servingText } from './change-text.ts'
import { eventText } from './event-text.ts'
import type { Paint } from './text.ts'

export interface LiveViewOptions {
  readonly directory: string
  readonly paint: Paint
  write(text: string): void
  /** What was written has not left yet: a terminal that is slower than the traffic. */
  isBusy(): boolean
}

/** What `cardea dev` shows of a gateway: its changes, faults and decisions, and the way of each request. */
export class LiveView {
  readonly #options: LiveViewOptions
  /** 0: nothing does; null: not known. */
  #serving: number | null = null
  /** Time of the change that was shown last: after a reconnection the gateway tells of it again. */
  #shownChangeAt = 0
  /** What it lacked, when it did not go live. */
  #shownReasons = ''
  #isAfterBlock = false
  #skippedTraces = 0
  #hasSeenStatus = false

  constructor(options: LiveViewOptions) {
    this.#options = options
  }

  /** What serves once the gateway has started: a start that goes on with what served last is no change that is told. */
  started(generation: number): void {
    this.#serving = Math.max(this.#serving ?? 0, generation)
    if (this.#serving > 0 && this.#shownReasons === '') return
    const text = servingText(this.#serving)
    this.#block(`${text.charAt(0).toUpperCase()}${text.slice(1)}\n`)
  }

  /** What was missed before this view was connected (again). */
  catchUp({ generation, pending }: GatewayStatus): void {
    const isReconnected = this.#hasSeenStatus
    this.#hasSeenStatus = true
    // While the gateway starts nothing serves yet, which says nothing of what will.
    if (generation > 0) this.#serving = generation
    if (isReconnected) this.#block(`The supervisor was started anew: ${servingText(this.#serving)}\n`)
    if (pending !== null && pending.at > this.#shownChangeAt) this.#showChange(pending)
  }

  show(event: ControlEvent): void {
    if (event.kind === 'trace') {
      this.#serving = Math.max(this.#serving ?? 0, event.trace.generation)
      if (this.#options.isBusy()) this.#skippedTraces += 1
      else this.#line(event)
      return
    }
    if (event.kind === 'skipped' && this.#options.isBusy()) {
      this.#skippedTraces += event.traces
      return
    }
    if (event.kind !== 'change') {
      this.#line(event)
      return
    }
    this.#showChange(event.report)
  }

  #showChange(report: ChangeReport): void {
    const { outcome, generation, at, cause, problems, held } = report
    const wasShown = this.#shownReasons
    const served = this.#serving ?? 0
    this.#shownChangeAt = at
    const isDone = outcome === 'committed' || outcome === 'unchanged'
    this.#shownReasons = isDone ? '' : JSON.stringify([outcome, problems, held])
    if (isDone) this.#serving = generation
    if (outcome === 'unchanged') {
      this.#block(
        `${this.#options.paint('green', 'The files are in order again')}: ${servingText(generation)}\n`,
      )
      return
    }
    // The start output has said that, unless it had to be tried again, or something else served before.
    const isSaid = wasShown === '' && (served === 0 || served === generation)
    if (outcome === 'committed' && cause.kind === 'start' && isSaid) return
    // Deleting a folder, or saving another file meanwhile: the same again would only hide what is new.
    if (this.#shownReasons !== '' && this.#shownReasons === wasShown) {
      this.#block(`${headlineOf(report, this.#textOptions)}, for the same reasons as before\n`)
    } else {
      this.#block(changeText(report, this.#textOptions))
    }
  }

  get #textOptions() {
    const { paint, directory } = this.#options
    return { paint, directory, serving: this.#serving }
  }

  #line(event: ControlEvent): void {
    if (this.#skippedTraces > 0) {
      const traces = this.#skippedTraces
      this.#skippedTraces = 0
      this.#line({ kind: 'skipped', traces })
    }
    this.#isAfterBlock = false
    this.#options.write(eventText(event, this.#textOptions))
  }

  /** Set apart from the requests around it. */
  #block(text: string): void {
    this.#options.write(`${this.#isAfterBlock ? '' : '\n'}${text}\n`)
    this.#isAfterBlock = true
  }
}
