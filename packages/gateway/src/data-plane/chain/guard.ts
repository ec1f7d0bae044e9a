import { markOf } from '../../base/running-mark.ts'
import type { CodeFailure } from '../../protocol/failure.ts'
import type { BreakerState, FaultEvent } from '../../protocol/faults.ts'
import type { FaultSettings, InstancePlan } from '../../protocol/generation.ts'
import type { Sweeper, Swept } from '../sweeper.ts'

/** Whether the hooks of an instance may be called. Closed is the only one in which nobody has to ask. */
export const GuardState = { closed: 0, halfOpen: 1, open: 2, quarantined: 3 } as const
export type GuardState = (typeof GuardState)[keyof typeof GuardState]

/** An open breaker waits no longer than this before it probes, however often that failed. */
const OPEN_MS_MAX = 60_000
const REPORT_PERIOD_MS = 1_000
/** Failures of one instance that a worker logs in a second: whoever can make it fail must not be able to fill the disk. */
const LOGGED_PER_PERIOD_MAX = 10

/** What a guard needs of whoever keeps it. */
export interface GuardKeeper {
  readonly faults: FaultSettings
  readonly nowMs: number
  /** What is reported is shown to whoever reads the log. */
  readonly isWatched: boolean
  onFault(event: FaultEvent): void
}

/**
 * What one instance has done wrong in this worker, in all generations that it is carried through. Every failure is
 * counted and reported; only timeouts open the breaker. It spares requests the wait for what does not answer, and is paid
 * for by everybody whose request needs the plugin: `on_failure` decides theirs as well while it is open. An exception costs
 * nobody time, so there is nothing to spare, and one crafted request, sent often, could make it. A request that makes
 * a plugin slow can open the breaker all the same, if such requests are `breakerRatio` of all in a worker: who can be made
 * to wait by what a client sends has to bound that (docs/guides/troubleshooting.md).
 *
 *     closed ── too many timeouts ──▶ open ── wait ──▶ half open ── a probe ended in time ──▶ closed
 *                                      ▲                  │
 *                                      └── timed out, waits twice as long
 *
 * The window is the half at hand and the half before it, so that counting costs an increment and no list of times.
 */
export class InstanceGuard {
  readonly #plan: InstancePlan
  readonly #keeper: GuardKeeper
  /** For `runningMark`. */
  readonly mark: number
  state: GuardState = GuardState.closed
  /** Calls of `handle` that ended, well or not. A call counts with its end: what hangs is not yet known to be a fault. */
  calls = 0
  #faults = 0
  #callsBefore = 0
  #faultsBefore = 0
  #halfEndsMs: number
  /** How long the breaker is, or was last, open. */
  #openMs = 0
  #openUntilMs = 0
  #probe: object | null = null
  #probeUntilMs = 0
  #failures = 0
  #lastFailure: CodeFailure | null = null
  #reportedMs = 0
  #logged = 0
  #leftOut = 0
  #loggedFromMs: number

  constructor(plan: InstancePlan, keeper: GuardKeeper) {
    this.#plan = plan
    this.#keeper = keeper
    this.mark = markOf(plan.key)
    this.#halfEndsMs = keeper.nowMs + keeper.faults.breakerWindowMs / 2
    this.#loggedFromMs = keeper.nowMs
  }

  /**
   * Whether a `handle` may be called, for when the state is not closed. While it is half open one probe at a time is;
   * one whose upstream or client takes its time makes room for another.
   */
  admit(call: object, timeoutMs: number): boolean {
    if (this.state !== GuardState.halfOpen) return this.state === GuardState.closed
    const { nowMs } = this.#keeper
    if (this.#probe !== null && nowMs < this.#probeUntilMs) return false
    this.#probe = call
    this.#probeUntilMs = nowMs + this.#openMs + 2 * timeoutMs
    return true
  }

  /** The hooks that a call had to run have ended in time. Nothing happens unless it is the probe. */
  onProbed(call: object): void {
    if (this.#probe !== call) return
    this.#openMs = 0
    this.#startCounting()
    this.#enter(GuardState.closed, 'closed', 1, 0)
  }

  /** The same call is known by another object from now on. */
  renewProbe(call: object, renewed: object): void {
    if (this.#probe === call) this.#probe = renewed
  }

  /** A call was abandoned before it told anything. */
  dropProbe(call: object): void {
    if (this.#probe === call) this.#probe = null
  }

  /** A hook did not end in time. */
  onTimeout(call: object): void {
    if (this.state === GuardState.closed) {
      this.#faults++
      const calls = this.calls + this.#callsBefore
      const faults = this.#faults + this.#faultsBefore
      const { breakerCallsMin, breakerRatio } = this.#keeper.faults
      if (calls >= breakerCallsMin && faults >= breakerRatio * calls) this.#open(calls, faults)
    } else if (this.#probe === call) this.#open(1, 1)
  }

  /** `failure` null: one that is only counted, like those before it. */
  onFailure(failure: CodeFailure | null): void {
    this.#failures++
    this.#lastFailure = failure ?? this.#lastFailure
  }

  /** What is reported need not be logged as well. */
  get isWatched(): boolean {
    return this.#keeper.isWatched
  }

  /** How many failures were left out of the log before this one; null: this one is to be left out too. */
  admitToLog(): number | null {
    if (this.#logged >= LOGGED_PER_PERIOD_MAX) {
      this.#leftOut++
      return null
    }
    this.#logged++
    const leftOut = this.#leftOut
    this.#leftOut = 0
    return leftOut
  }

  #open(calls: number, faults: number): void {
    const { nowMs, faults: settings } = this.#keeper
    this.#openMs = this.#openMs === 0 ? settings.breakerOpenMs : Math.min(this.#openMs * 2, OPEN_MS_MAX)
    this.#openUntilMs = nowMs + this.#openMs
    this.#enter(GuardState.open, 'open', calls, faults)
  }

  #enter(state: GuardState, name: BreakerState, calls: number, faults: number): void {
    this.state = state
    this.#probe = null
    const { key, name: instance, plugin } = this.#plan
    this.#keeper.onFault({ kind: 'breaker', key, instance, plugin, state: name, calls, faults })
  }

  /** From now on no hook is called, whatever else happens. */
  quarantine(): void {
    this.state = GuardState.quarantined
    this.#probe = null
  }

  #startCounting(): void {
    this.calls = 0
    this.#faults = 0
    this.#callsBefore = 0
    this.#faultsBefore = 0
    this.#halfEndsMs = this.#keeper.nowMs + this.#keeper.faults.breakerWindowMs / 2
  }

  sweep(nowMs: number): void {
    if (nowMs >= this.#halfEndsMs) this.#turnWindow(nowMs)
    if (this.state === GuardState.open && nowMs >= this.#openUntilMs) {
      this.#enter(GuardState.halfOpen, 'half-open', 0, 0)
    }
    if (nowMs >= this.#loggedFromMs + REPORT_PERIOD_MS) {
      this.#loggedFromMs = nowMs
      this.#logged = 0
    }
    if (nowMs >= this.#reportedMs + REPORT_PERIOD_MS) this.report()
  }

  #turnWindow(nowMs: number): void {
    const halfMs = this.#keeper.faults.breakerWindowMs / 2
    // After a pause of the whole process the half before is out of date as well.
    const isLate = nowMs >= this.#halfEndsMs + halfMs
    this.#callsBefore = isLate ? 0 : this.calls
    this.#faultsBefore = isLate ? 0 : this.#faults
    this.calls = 0
    this.#faults = 0
    this.#halfEndsMs = nowMs + halfMs
  }

  /** Tells of the failures since the last report, if there are any. */
  report(): void {
    const failure = this.#lastFailure
    if (failure === null || this.#failures === 0) return
    const { key, name: instance, plugin } = this.#plan
    const count = this.#failures
    this.#failures = 0
    this.#reportedMs = this.#keeper.nowMs
    this.#keeper.onFault({ kind: 'failures', key, instance, plugin, count, failure })
  }
}

/** Keys of quarantined instances that are kept for a generation which may still bring one. */
const QUARANTINED_KEYS_MAX = 1_000

/** One generation's hold on a guard. */
export interface OpenGuard {
  readonly guard: InstanceGuard
  release(): void
}

interface GuardEntry {
  readonly guard: InstanceGuard
  uses: number
}

/** The guards of a worker by instance key, shared by generations: what is carried over keeps its record. */
export class GuardBook implements GuardKeeper, Swept {
  sweepIndex = -1
  /** Of the generation committed last. */
  faults: FaultSettings
  isWatched = false
  readonly onFault: (event: FaultEvent) => void
  readonly #sweeper: Sweeper
  readonly #entries = new Set<GuardEntry>()
  /** Those that a generation which has the key is to share. */
  readonly #shared = new Map<string, GuardEntry>()
  /** By `quarantine`, as long as no generation has been committed that says so itself. */
  readonly #quarantined = new Set<string>()

  constructor(faults: FaultSettings, sweeper: Sweeper, onFault: (event: FaultEvent) => void) {
    this.faults = faults
    this.#sweeper = sweeper
    this.onFault = onFault
  }

  get nowMs(): number {
    return this.#sweeper.nowMs
  }

  open(plan: InstancePlan): OpenGuard {
    const entry = this.#shared.get(plan.key) ?? this.#add(plan)
    entry.uses++
    return {
      guard: plan.quarantined ? this.#barring(plan) : entry.guard,
      release: () => this.#release(plan, entry),
    }
  }

  /** Null when no generation has the instance. */
  guardOf(key: string): InstanceGuard | null {
    return this.#shared.get(key)?.guard ?? null
  }

  /** A guard for one generation only, should the instance be carried into it: the generation may yet be discarded. */
  #barring(plan: InstancePlan): InstanceGuard {
    const guard = new InstanceGuard(plan, this)
    guard.quarantine()
    return guard
  }

  #add(plan: InstancePlan): GuardEntry {
    const entry = { guard: new InstanceGuard(plan, this), uses: 0 }
    if (this.#quarantined.has(plan.key)) entry.guard.quarantine()
    if (this.#entries.size === 0) this.#sweeper.add(this)
    this.#entries.add(entry)
    this.#shared.set(plan.key, entry)
    return entry
  }

  #release({ key }: InstancePlan, entry: GuardEntry): void {
    if (--entry.uses > 0) return
    entry.guard.report()
    this.#entries.delete(entry)
    if (this.#shared.get(key) === entry) this.#shared.delete(key)
    if (this.#entries.size === 0) this.#sweeper.remove(this)
  }

  /** At once and in all generations, those that are staged already included, until one is committed that says so too. */
  quarantine(key: string): void {
    this.#quarantined.add(key)
    this.#shared.get(key)?.guard.quarantine()
    if (this.#quarantined.size <= QUARANTINED_KEYS_MAX) return
    for (const oldest of this.#quarantined) {
      this.#quarantined.delete(oldest)
      return
    }
  }

  /**
   * A generation with these quarantined instances was committed. From now on generations themselves say what is
   * quarantined: one that does not any more, though the instance is the same, was told to call it again.
   */
  confirm(keys: readonly string[]): void {
    for (const key of keys) {
      if (this.#quarantined.delete(key)) this.#shared.delete(key)
    }
  }

  sweep(nowMs: number): void {
    for (const { guard } of this.#entries) guard.sweep(nowMs)
  }

  /** Tells of what no report was due for yet. */
  report(): void {
    for (const { guard } of this.#entries) guard.report()
  }
}
