import type { Timeouts } from '../../protocol/generation.ts'
import type { Sweeper } from '../sweeper.ts'

/** The deadline of a client connection: one at a time, of whatever it waits for now. */
export class RequestClock {
  readonly #timeouts: Timeouts
  readonly #sweeper: Sweeper
  /** On the sweeper's clock; 0: none. */
  #deadlineMs = 0
  #bodyStartedMs = 0
  #bodyBytes = 0
  #bodyFlows = false

  constructor(timeouts: Timeouts, sweeper: Sweeper) {
    this.#timeouts = timeouts
    this.#sweeper = sweeper
  }

  stop(): void {
    this.#deadlineMs = 0
    this.#bodyFlows = false
  }

  startHead(): void {
    this.#start(this.#timeouts.headMs)
  }

  startIdle(): void {
    this.#start(this.#timeouts.idleMs)
  }

  startLinger(): void {
    this.#start(this.#timeouts.lingerMs)
  }

  startTunnel(): void {
    this.#start(this.#timeouts.tunnelIdleMs)
  }

  startBody(): void {
    this.#bodyStartedMs = this.#sweeper.nowMs
    this.#bodyBytes = 0
    this.resumeBody()
  }

  /** Content is waited for again; with every piece of it the wait starts anew. */
  resumeBody(): void {
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

  /** Whether the content comes more slowly than the minimum rate, once the client has had the time of a head for it. */
  isTooSlow(nowMs: number): boolean {
    const { minimumRateBytesPerSecond, headMs } = this.#timeouts
    if (minimumRateBytesPerSecond === 0 || !this.#bodyFlows) return false
    const elapsedMs = nowMs - this.#bodyStartedMs
    return elapsedMs > headMs && this.#bodyBytes * 1000 < minimumRateBytesPerSecond * elapsedMs
  }
}
