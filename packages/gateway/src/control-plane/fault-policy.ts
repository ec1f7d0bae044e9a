import { messageOf } from '../base/errors.ts'
import { versionLabel } from '../base/version-label.ts'
import { FAULT_LIMITS } from '../config/limits.ts'
import type { GatewayLog } from '../observe/log.ts'
import type { ControlEvent, InstanceStatus, PluginVersion } from '../protocol/control.ts'
import { type BreakerState, type FaultEvent, HARMS, type HarmKind, isHarm } from '../protocol/faults.ts'
import type { InstancePlan } from '../protocol/generation.ts'
import type { StandingFault } from '../protocol/master-supervisor.ts'
import type { Reference } from './change.ts'
import type { ChangeEngine } from './change-engine.ts'
import { gatewayRequest } from './change-queue.ts'
import { editTakeBack, withIncarnation, withQuarantined } from './overlay-edits.ts'
import { quarantinedCode, quarantineOf } from './quarantine.ts'
import type { GenerationStore } from './store/generation-store.ts'
import type { StoredPlugin } from './store/types.ts'
import type { Workers } from './workers.ts'

export interface FaultPolicyOptions {
  readonly engine: ChangeEngine
  readonly workers: Workers
  readonly store: GenerationStore
  readonly log: GatewayLog
  onEvent(event: ControlEvent): void
}

interface InstanceFaults {
  failures: number
  /** By worker; one that is not here has it closed. */
  readonly breakers: Map<number, BreakerState>
  /** By worker: how often in a row, without closing between. A fault that all workers share opens as many breakers at once. */
  readonly opened: Map<number, number>
  /** The version before is asked for. */
  isTakenBack: boolean
  /** It blocked a worker, or threw where nobody catches it, and is about to be quarantined. */
  hasHarmed: boolean
}

/** From the version that runs to one that did not fail so far. */
interface WayBack {
  readonly from: PluginVersion
  readonly to: StoredPlugin
}

type Labelled = Pick<StoredPlugin, 'version' | 'contentHash'>

/**
 * What follows when plugins fail at run time. Each worker protects itself at once (breaker, quarantine); here is decided
 * what that means for the gateway: an instance is made anew, a version taken back, or a quarantine made to last.
 */
export class FaultPolicy {
  readonly #options: FaultPolicyOptions
  /** By instance key; of the committed generation only. */
  readonly #faults = new Map<string, InstanceFaults>()
  /** By instance name: the next time that it is made anew. */
  readonly #restarts = new Map<string, { readonly timer: NodeJS.Timeout | null; readonly delayMs: number }>()
  /** What harmed a worker, of instances that are not of the committed generation, by key: they may be of the one that is committed next. */
  readonly #early = new Map<string, { readonly worker: number; readonly fault: FaultEvent }>()
  #reference: Reference | null = null

  constructor(options: FaultPolicyOptions) {
    this.#options = options
  }

  committed(reference: Reference): void {
    this.#reference = reference
    const { instances } = reference.candidate.plan
    const keys = new Set(instances.map(({ key }) => key))
    const names = new Set(instances.map(({ name }) => name))
    for (const key of this.#faults.keys()) if (!keys.has(key)) this.#faults.delete(key)
    for (const name of this.#restarts.keys()) {
      if (!names.has(name)) this.#forgetRestart(name)
    }
    const early = [...this.#early.values()]
    this.#early.clear()
    for (const { worker, fault } of early) if (keys.has(fault.key)) this.#judge(worker, fault)
  }

  statusOf({ name, plugin, version, key, quarantined }: InstancePlan): InstanceStatus {
    const faults = this.#faults.get(key)
    const states = [...(faults?.breakers.values() ?? [])]
    const breaker = states.includes('open')
      ? 'breaker-open'
      : states.includes('half-open')
        ? 'half-open'
        : 'active'
    return {
      name,
      plugin,
      version,
      state: quarantined ? 'quarantined' : breaker,
      failures: faults?.failures ?? 0,
    }
  }

  workerEnded(worker: number): void {
    for (const { breakers, opened } of this.#faults.values()) {
      breakers.delete(worker)
      opened.delete(worker)
    }
    for (const name of [...this.#restarts.keys()]) this.#forgetIfRecovered(name)
  }

  onFault(worker: number, fault: FaultEvent): void {
    this.#options.onEvent({ kind: 'fault', at: Date.now(), worker, fault })
    this.#judge(worker, fault)
  }

  /** What the predecessor knew of, or should have heard. It is in the log already, unless nobody was there to write it. */
  takeOver(faults: readonly StandingFault[]): void {
    for (const { worker, event } of faults) this.#judge(worker, event)
  }

  #judge(worker: number, fault: FaultEvent): void {
    const instance = this.#instances.find(({ key }) => key === fault.key)
    if (instance === undefined) {
      // Of a generation that drains nothing follows any more; a worker has committed the next one before it says so.
      if (isHarm(fault)) this.#early.set(fault.key, { worker, fault })
      return
    }
    const faults = this.#faultsOf(fault.key)
    if (fault.kind === 'failures') faults.failures += fault.count
    else if (fault.kind === 'breaker') this.#onBreaker(worker, fault.state, faults, instance)
    else this.#onHarm(instance, faults, fault.kind)
  }

  close(): void {
    for (const { timer } of this.#restarts.values()) clearTimeout(timer ?? undefined)
    this.#restarts.clear()
  }

  #faultsOf(key: string): InstanceFaults {
    const known = this.#faults.get(key)
    if (known !== undefined) return known
    const faults = {
      failures: 0,
      breakers: new Map(),
      opened: new Map(),
      isTakenBack: false,
      hasHarmed: false,
    }
    this.#faults.set(key, faults)
    return faults
  }

  #onBreaker(worker: number, state: BreakerState, faults: InstanceFaults, instance: InstancePlan): void {
    if (state === 'closed') {
      faults.breakers.delete(worker)
      faults.opened.delete(worker)
      this.#forgetIfRecovered(instance.name)
      return
    }
    faults.breakers.set(worker, state)
    if (state !== 'open') return
    const opened = (faults.opened.get(worker) ?? 0) + 1
    faults.opened.set(worker, opened)
    this.#runLogged(() => this.#onOpen(instance, opened))
  }

  async #onOpen(instance: InstancePlan, opened: number): Promise<void> {
    const way = await this.#wayBack(instance)
    if (way !== null) return this.#takeBack(instance, way, 'its breaker opened')
    // The first time it may be what the plugin waits for; when probes fail too, a new instance may help.
    if (opened >= FAULT_LIMITS.opensBeforeRestart) this.#restartLater(instance)
  }

  #onHarm(instance: InstancePlan, faults: InstanceFaults, harm: HarmKind): void {
    // It was started before that was committed: who takes the quarantine back later must not find another one.
    if (instance.quarantined) return
    this.#options.workers.broadcast({ kind: 'quarantine', key: instance.key })
    // The next worker that it harms adds nothing, and a version that is taken back late would meet a mended one.
    if (faults.hasHarmed) return
    faults.hasHarmed = true
    this.#decided(
      instance.plugin,
      `"${instance.name}" ${HARMS[harm]} and is quarantined until its code or config changes`,
    )
    const { engine } = this.#options
    const quarantine = quarantineOf(instance, this.#instances, harm)
    const quarantined = engine.request({
      ...gatewayRequest({ kind: 'quarantine', plugin: instance.plugin, harm }),
      base: 'live',
      edit: (overlay) => withQuarantined(overlay, quarantine),
    })
    this.#runLogged(async () => {
      await quarantined
      faults.hasHarmed = false
    })
    this.#runLogged(async () => {
      const way = await this.#wayBack(instance)
      if (way !== null) await this.#takeBack(instance, way, `it ${HARMS[harm]}`)
    })
  }

  /**
   * The version before, while the one that runs is on probation; null when there is none or it is not wanted. Versions that
   * failed themselves are passed over: of two bad ones each would bring the other back.
   */
  async #wayBack({ plugin, category, key }: InstancePlan): Promise<WayBack | null> {
    const faults = this.#reference?.settings.faults
    if (faults === undefined || faults.probationMs === 0) return null
    if (category === 'security' && !faults.probationSecurity) return null
    const { store } = this.#options
    const versions = await store.versionsOf(plugin)
    const live = versions.find(({ isLive }) => isLive)
    if (live === undefined || Date.now() - live.at > faults.probationMs) return null
    const { quarantined = [] } = this.#reference?.candidate.overlay.controls ?? {}
    const to = await store.soundVersion(plugin, quarantinedCode(quarantined, plugin))
    return to !== null && this.#isLive(key) ? { from: live, to } : null
  }

  async #takeBack({ plugin, key }: InstancePlan, { from, to }: WayBack, why: string): Promise<void> {
    // People save again and again without another number.
    const faults = this.#faultsOf(key)
    // The breakers of several workers, or a breaker and a quarantine, lead to the same.
    if (faults.isTakenBack) return
    faults.isTakenBack = true
    const isSameNumber = from.version === to.version
    const nameOf = (one: Labelled): string => (isSameNumber ? versionLabel(one) : one.version)
    const text = `plugin "${plugin}" ${nameOf(from)} is on probation and is taken back to ${nameOf(to)}: ${why}`
    this.#decided(plugin, text)
    const { engine, store } = this.#options
    try {
      await engine.request({
        ...gatewayRequest({ kind: 'probation', plugin, version: nameOf(to), failed: from.contentHash }),
        base: 'live',
        runs: to.contentHash,
        edit: (overlay, disk) =>
          this.#isLive(key) ? editTakeBack(to, store.latest())(overlay, disk) : overlay,
      })
    } finally {
      faults.isTakenBack = false
    }
  }

  #restartLater({ name, plugin, key }: InstancePlan): void {
    const planned = this.#restarts.get(name)
    if (planned !== undefined && planned.timer !== null) return
    const delayMs = Math.min(
      (planned?.delayMs ?? FAULT_LIMITS.restartDelayMs / 2) * 2,
      FAULT_LIMITS.restartDelayMsMax,
    )
    const timer = setTimeout(() => {
      this.#restarts.set(name, { timer: null, delayMs })
      if (!this.#isLive(key)) return
      this.#decided(plugin, `"${name}" is made anew: its breaker opens again and again`)
      void this.#options.engine.request({
        ...gatewayRequest({ kind: 'restart', plugin }),
        base: 'live',
        edit: (overlay) => (this.#isLive(key) ? withIncarnation(overlay, [name]) : overlay),
      })
    }, delayMs)
    this.#restarts.set(name, { timer, delayMs })
  }

  /** Of several configs under one name each has breakers of its own. */
  #forgetIfRecovered(name: string): void {
    const keys = this.#instances.filter((instance) => instance.name === name).map(({ key }) => key)
    if (keys.every((key) => (this.#faults.get(key)?.breakers.size ?? 0) === 0)) this.#forgetRestart(name)
  }

  /** What it waited for answers again. */
  #forgetRestart(name: string): void {
    clearTimeout(this.#restarts.get(name)?.timer ?? undefined)
    this.#restarts.delete(name)
  }

  /**
   * Whether the instance that failed still serves. Between a fault and what follows from it a change may go live, such
   * as the mended file: nothing of what its predecessor did may be laid to its charge.
   */
  #isLive(key: string): boolean {
    return this.#instances.some((instance) => instance.key === key)
  }

  get #instances(): readonly InstancePlan[] {
    return this.#reference?.candidate.plan.instances ?? []
  }

  #decided(plugin: string, text: string): void {
    this.#options.log.events.error(`Plugin fault: ${text}`, { plugin })
    this.#options.onEvent({ kind: 'decision', at: Date.now(), plugin, text })
  }

  #runLogged(run: () => Promise<void>): void {
    run().catch((thrown) => {
      this.#options.log.error(`Cannot decide about a failing plugin: ${messageOf(thrown)}`)
    })
  }
}
