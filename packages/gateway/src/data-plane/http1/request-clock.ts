import type { Timeouts } from '../../protocol/generation.ts'
import type { Sweeper } from '../sweeper.ts'

/** The deadline of a client connection: one at a time, of whatever it waits for now. */
export class RequestClock {
  readonly #timeouts: Timeouts
  readonly #sweeper: Sweeper
  /** On the sweeper's clock; 0: none. */
  #deadlineMs = 0
  #headStarted = false
  /** Of the body at hand, over all the time that we took it: pauses of the upstream's are not the client's. */
  #bodyBytes = 0
  #bodyFlowedMs = 0
  #bodyFlowsSinceMs = 0
  #bodyFlows = false

  constructor(timeouts: Timeouts, sweeper: Sweeper) {
    this.#timeouts = timeouts
    this.#sweeper = sweeper
  }

  stop(): void {
    this.#deadlineMs = 0
    this.#headStarted = false
    if (this.#bodyFlows) this.#bodyFlowedMs += this.#sweeper.nowMs - this.#bodyFlowsSinceMs
    this.#bodyFlows = false
  }

  startHead(): void {
    this.#start(this.#timeouts.headMs)
  }

  /** The first bytes of a request start its clock; what follows must not wind it up again (Slowloris). */
  continueHead(): void {
    if (!this.#headStarted) this.startHead()
    this.#headStarted = true
  }

  startIdle(): void {
    this.#start(this.#timeouts.idleMs)
  }

  /** Whatever it waits for, it waits no longer than this. */
  hasten(durationMs: number): void {
    const deadlineMs = this.#sweeper.nowMs + durationMs
    if (this.#deadlineMs === 0 || deadlineMs < this.#deadlineMs) this.#deadlineMs = deadlineMs
  }

  startLinger(): void {
    this.#start(this.#timeouts.lingerMs)
  }

  startTunnel(): void {
    this.#start(this.#timeouts.tunnelIdleMs)
  }

  startBody(): void {
    this.#bodyBytes = 0
    this.#bodyFlowedMs = 0
    this.resumeBody()
  }

  /** Content is waited for again; with every piece of it the wait starts anew. */
  resumeBody(): void {
    if (!this.#bodyFlows) this.#bodyFlowsSinceMs = this.#sweeper.nowMs
    this.#bodyFlows = true
    this.#start(this.#timeouts.bodyMs)
  }

  countBody(bytes: number): void {
    this.#bodyBytes += bytes
  }

  #start(durationMs: number): void {
    this.#deadlineMs = this.#sweeper.nowMs + durationMs
  }

  /** Whether the deadline has passed; said once. */
  hasPassed(nowMs: number): boolean {
    if (this.#deadlineMs === 0 || nowMs < this.#deadlineMs) return false
    this.#deadlineMs = 0
    return true
  }

  /** What is wrong with how the content comes, as a sentence; null: nothing. */
  bodyFault(nowMs: number): string | null {
    if (this.#isTooSlow(nowMs)) return 'The body comes more slowly than the minimum rate'
    return this.hasPassed(nowMs) ? 'No byte of the body came in time' : null
  }

  /** Whether the content comes more slowly than the minimum rate, once the client has had the time of a head for it. */
  #isTooSlow(nowMs: number): boolean {
    const { minimumRateBytesPerSecond, headMs } = this.#timeouts
    if (minimumRateBytesPerSecond === 0 || !this.#bodyFlows) return false
    const flowedMs = this.#bodyFlowedMs + nowMs - this.#bodyFlowsSinceMs
    return flowedMs > headMs && this.#bodyBytes * 1000 < minimumRateBytesPerSecond * flowedMs
  }
}
