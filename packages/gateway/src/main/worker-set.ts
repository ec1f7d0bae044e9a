import type { Log } from '@cardea/sdk'
import { messageOf } from '../base/errors.ts'
import { isMarkOf } from '../base/running-mark.ts'
import { PROCESS_LIMITS } from '../config/limits.ts'
import type { DrainBounds } from '../protocol/drain-bounds.ts'
import type { FaultEvent } from '../protocol/faults.ts'
import type { GatewaySettings, GenerationPlan, InstancePlan } from '../protocol/generation.ts'
import type { MasterToSupervisor, RunningWorker, StandingFault } from '../protocol/master-supervisor.ts'
import type { MasterToWorker, WorkerToMaster } from '../protocol/master-worker.ts'
import type { SupervisorToWorker } from '../protocol/supervisor-worker.ts'
import { watchdogReportIn } from '../protocol/watchdog.ts'
import { ChildSlot } from './child-slot.ts'
import { replacedShares } from './drain-shares.ts'
import type { ListenRetry } from './listen-retry.ts'
import { takeListenSteps } from './listen-steps.ts'
import type { ListeningSocket } from './listening-socket.ts'
import { StandingFaults } from './standing-faults.ts'
import { logWatchdog } from './watchdog-log.ts'
import { within } from './within.ts'

/** What the workers need of the master, as it is at the moment. */
export interface WorkerSurroundings {
  readonly log: Log
  /** The gateway is neither draining nor ending. */
  isServing(): boolean
  /** The first start is over. */
  isReady(): boolean
  settings(): GatewaySettings | null
  /** The gateway's folder, absolute. */
  readonly directory: string
  /** What workers that are started from now on serve. */
  committed(): GenerationPlan | null
  sockets(): readonly ListeningSocket[]
  readonly retry: ListenRetry
  tellSupervisor(message: MasterToSupervisor): void
}

type ListenFailed = Extract<WorkerToMaster, { kind: 'listen-failed' }>

type WorkerSlot = ChildSlot<MasterToWorker, WorkerToMaster>

/** The place of a member; a replaced worker's process keeps its own until it ends. */
interface Place {
  /** What master and supervisor call it: a member's place in the row, or the number it left with. */
  number: number
  readonly slot: WorkerSlot
  /** What its process serves, 0 for nothing; null until it has started. */
  generation: number | null
  /** The sockets that its process accepts on; null until it serves. */
  accepting: Set<ListeningSocket> | null
  /** Who is to drain once this one listens. */
  predecessor: Place | null
  isReplaced: boolean
  isDraining: boolean
}

/**
 * The workers. Members have the numbers from 1 on, and each number has one member: what dies is followed by another
 * process. One that is replaced leaves its number to its successor at once and goes on under a number that was never
 * used before (`worker-retiring`); it accepts connections until the successor does, or a change makes it serve what is
 * no longer committed, then it drains.
 */
export class WorkerSet {
  readonly #master: WorkerSurroundings
  readonly #members = new Map<number, Place>()
  readonly #retiring = new Map<number, Place>()
  #lastNumber = 0
  /** Workers accept connections although there is no generation to serve. */
  #isListeningAnyway = false

  readonly #faults = new StandingFaults()

  constructor(master: WorkerSurroundings) {
    this.#master = master
  }

  /** Starts the members. Called once. */
  open(count: number): void {
    this.#lastNumber = count
    for (let number = 1; number <= count; number++) this.#add(number, null)
  }

  get running(): readonly RunningWorker[] {
    return processesOf(this.#members)
  }

  /** Processes that were replaced and have not ended yet. */
  get retiring(): readonly RunningWorker[] {
    return processesOf(this.#retiring)
  }

  get faults(): readonly StandingFault[] {
    return this.#faults.all
  }

  relay(number: number, message: SupervisorToWorker): void {
    const place = this.#members.get(number) ?? this.#retiring.get(number)
    place?.slot.send({ kind: 'relay', message })
  }

  listenAnyway(): void {
    this.#isListeningAnyway = true
    this.syncListeners()
  }

  /** Another generation is what workers start with from now on. */
  committed(): void {
    const plan = this.#master.committed()
    if (plan !== null) this.#faults.committed(plan)
    // Who is just starting would answer 503 until it serves.
    this.#isListeningAnyway = false
    for (const place of this.#retiring.values()) this.#drainReplaced(place)
    this.syncListeners()
  }

  /** Has every worker that serves accept on what is bound now, and on nothing else. */
  syncListeners(): void {
    for (const place of this.#members.values()) {
      if (!this.#isListeningAnyway && place.accepting === null) continue
      this.#beginListening(place).catch((thrown) => this.#abandon(place, thrown))
    }
  }

  /** Ends the process at once; its successor starts on what is committed. For one that cannot be trusted any more. */
  killAndReplace(number: number, reason: string): void {
    const place = this.#members.get(number) ?? this.#retiring.get(number)
    if (place === undefined || !this.#master.isServing()) return
    this.#master.log.error(`Worker ${number} is killed and started anew: ${reason}`)
    place.slot.kill()
  }

  /** Stops them all: resolves when every process is gone, however. Ending them is the caller's part. */
  async stop(): Promise<void> {
    await Promise.all(this.#places.map(({ slot }) => slot.stop()))
  }

  /** Lets all finish what is in flight. Resolves with how many exchanges the deadline cut, within `timeoutMs`. */
  async drain(bounds: DrainBounds, timeoutMs: number): Promise<number> {
    const cuts = this.#places.map(({ slot }) => drained(slot, bounds, timeoutMs))
    return (await Promise.all(cuts)).reduce((sum, cut) => sum + cut, 0)
  }

  reopenLogs(): void {
    for (const { slot } of this.#places) slot.send({ kind: 'reopen-logs' })
  }

  killAll(): void {
    for (const { slot } of this.#places) slot.kill()
  }

  get #places(): Place[] {
    return [...this.#members.values(), ...this.#retiring.values()]
  }

  #add(number: number, predecessor: Place | null): void {
    const slot: WorkerSlot = new ChildSlot({
      name: `worker ${number}`,
      entry: 'worker.ts',
      log: () => this.#master.log,
      onSpawn: () => void this.#start(place),
      onMessage: (message) => this.#onMessage(place, message),
      onLine: (line) => this.#onWatchdog(place, line),
      onEnd: (reason) => this.#onEnd(place, reason),
    })
    const place: Place = {
      number,
      slot,
      generation: null,
      accepting: null,
      predecessor,
      isReplaced: false,
      isDraining: false,
    }
    this.#members.set(number, place)
    slot.spawn()
  }

  async #start(place: Place): Promise<void> {
    const { slot, number } = place
    const settings = this.#master.settings()
    const committed = this.#plan
    const { directory } = this.#master
    if (settings === null) return
    this.#master.tellSupervisor({ kind: 'worker-spawned', worker: number, pid: slot.pid ?? 0 })
    const timeoutMs =
      PROCESS_LIMITS.childStartTimeoutMs + (committed === null ? 0 : PROCESS_LIMITS.stageTimeoutMs)
    try {
      const answer = await slot.request('start', timeoutMs, (id) => ({
        kind: 'start',
        id,
        worker: number,
        settings,
        directory,
        committed,
      }))
      if (answer.kind === 'start-failed') {
        this.#master.tellSupervisor({ kind: 'worker-failed', worker: place.number, failure: answer.failure })
      } else if (answer.kind === 'started') {
        const { generation } = answer
        place.generation = generation
        this.#master.tellSupervisor({ kind: 'worker-started', worker: place.number, generation })
        await this.#listenIfCurrent(place)
      }
    } catch (thrown) {
      this.#abandon(place, thrown)
    }
  }

  #onEnd(place: Place, reason: string): void {
    const { number } = place
    place.generation = null
    place.accepting = null
    this.#faults.workerEnded(number)
    if (this.#retiring.delete(number)) {
      if (!place.isDraining) this.#drainEnded(place, reason)
    } else if (this.#master.isServing()) this.#master.log.error(`Worker ${number} ended: ${reason}`)
    this.#master.tellSupervisor({ kind: 'worker-ended', worker: number, reason })
  }

  #abandon({ slot }: Place, thrown: unknown): void {
    if (this.#master.isServing()) this.#master.log.error(messageOf(thrown))
    slot.kill()
  }

  #onMessage(place: Place, message: WorkerToMaster): void {
    switch (message.kind) {
      case 'started':
      case 'start-failed':
      case 'listening':
      case 'listen-failed':
      case 'drained':
        place.slot.answer(message.id, message)
        break
      case 'serving':
        place.generation = message.generation
        this.#listenIfCurrent(place).catch((thrown) => this.#abandon(place, thrown))
        break
      case 'replace-me':
        this.#replace(place, message.reason)
        break
      case 'relay':
        if (message.message.kind === 'fault') this.#faults.note(place.number, message.message.event)
        this.#master.tellSupervisor({ kind: 'relay', worker: place.number, message: message.message })
        break
    }
  }

  /** What a worker starts on. */
  get #plan(): GenerationPlan | null {
    const plan = this.#master.committed()
    return plan === null ? null : this.#faults.spared(plan)
  }

  /** What the watchdog thread of a worker says past its main thread. */
  #onWatchdog({ number }: Place, line: string): void {
    const report = watchdogReportIn(line)
    if (report === null) return
    const running = ({ key }: InstancePlan) => report.kind === 'killed' && isMarkOf(report.mark, key)
    const blamed = this.#master.committed()?.instances.find(running) ?? null
    logWatchdog(report, number, blamed?.name ?? null, this.#master.log)
    if (blamed === null || report.kind === 'standing') return
    const { key, name: instance, plugin } = blamed
    const { stalledMs } = report
    const event: FaultEvent = { kind: 'stall', key, instance, plugin, stalledMs, frames: [], frame: null }
    this.#faults.note(number, event)
    this.#master.tellSupervisor({ kind: 'relay', worker: number, message: { kind: 'fault', event } })
  }

  // Listening.

  /** Not one that began with what is not committed any more: by the change that came a route may have got a security plugin. */
  async #listenIfCurrent(place: Place): Promise<void> {
    const { number = 0 } = this.#master.committed() ?? {}
    const serves = place.generation ?? 0
    if (serves >= number && (serves > 0 || this.#isListeningAnyway)) await this.#beginListening(place)
  }

  /** A worker that serves gets the sockets; the one it stands in for has done its part then. */
  async #beginListening(place: Place): Promise<void> {
    place.accepting ??= new Set()
    if (!(await this.#listen(place, place.accepting))) return
    this.#master.tellSupervisor({ kind: 'worker-listening', worker: place.number })
    // All of them: one that was replaced before it listened left its own where they were.
    for (let one = place.predecessor; one !== null; one = one.predecessor) this.#drainReplaced(one)
    place.predecessor = null
  }

  /** Makes a worker accept on what is bound now, as far as that can be had, and on nothing else. False: it is to end. */
  async #listen(place: Place, accepting: Set<ListeningSocket>): Promise<boolean> {
    if (!this.#master.isServing()) return false
    return takeListenSteps(accepting, {
      sockets: () => this.#master.sockets(),
      unlisten: ({ address }) => place.slot.send({ kind: 'unlisten', address }),
      listenOn: async (socket) => {
        const failed = await this.#listenOn(place, socket)
        // What a change has closed meanwhile is no more to be listened on.
        const isBound = this.#master.sockets().includes(socket)
        if (failed === null) {
          if (isBound) this.#master.retry.listens(socket.address)
          return true
        }
        if (this.#master.isReady() || !isBound) {
          accepting.delete(socket)
          const { failure, systemCode } = failed
          if (isBound) this.#master.retry.failed(socket.address, { reason: failure.message, systemCode })
          return true
        }
        // The supervisor tells it, and the start is over.
        this.#master.tellSupervisor({ kind: 'worker-failed', worker: place.number, failure: failed.failure })
        place.slot.kill()
        return false
      },
    })
  }

  async #listenOn({ slot }: Place, { address, handle }: ListeningSocket): Promise<ListenFailed | null> {
    const answer = await slot.request(
      'listen',
      PROCESS_LIMITS.answerTimeoutMs,
      (id) => ({ kind: 'listen', id, address }),
      handle,
    )
    return answer.kind === 'listen-failed' ? answer : null
  }

  // Replacing.

  /** A successor is started; when it listens, the process that asked drains. Only the first time that it asks. */
  #replace(place: Place, reason: string): void {
    if (place.isReplaced || !this.#master.isServing()) return
    place.isReplaced = true
    const { number } = place
    const left = ++this.#lastNumber
    this.#master.log.warn(`Worker ${number} is being replaced: ${reason}`, { until: 'its successor listens' })
    // What dies from now on has a successor already.
    void place.slot.stop()
    this.#master.tellSupervisor({ kind: 'worker-retiring', worker: number, as: left })
    this.#faults.workerEnded(number)
    place.number = left
    this.#retiring.set(left, place)
    this.#add(number, place)
  }

  #drainReplaced(place: Place): void {
    if (place.isDraining || place.slot.pid === null) return
    place.isDraining = true
    this.#drainOne(place).catch((thrown) => this.#master.log.error(messageOf(thrown)))
  }

  async #drainOne(place: Place): Promise<void> {
    const { slot } = place
    const bounds = replacedShares()
    const { deadlineMs } = bounds
    const gone = slot.stop()
    const timeoutMs = deadlineMs + PROCESS_LIMITS.drainReserveMs
    const cut = drained(slot, bounds, timeoutMs)
    const isGone = await within(gone, timeoutMs)
    if (!isGone) {
      this.#master.log.error('A replaced worker did not end within its deadline and is killed', {
        pid: slot.pid,
        deadlineMs,
      })
      slot.kill()
    }
    const cutExchanges = await cut
    if (cutExchanges > 0) this.#master.log.warn('Exchanges of a replaced worker were cut', { cutExchanges })
    else if (isGone) this.#master.log.info('The replaced worker has ended')
  }

  #drainEnded(place: Place, reason: string): void {
    if (!this.#master.isServing()) return
    this.#master.log.error(`The replaced worker ended before its successor listened: ${reason}`, {
      successor: this.#successorOf(place),
    })
  }

  #successorOf(place: Place): number | null {
    for (const [number, { predecessor }] of this.#members) if (predecessor === place) return number
    return null
  }
}

/** How many exchanges were cut; 0 when it died instead, which its end says. */
async function drained(slot: WorkerSlot, bounds: DrainBounds, timeoutMs: number): Promise<number> {
  try {
    const answer = await slot.request('drain', timeoutMs, (id) => ({ kind: 'drain', id, bounds }))
    return answer.kind === 'drained' ? answer.cutExchanges : 0
  } catch {
    return 0
  }
}

function processesOf(places: ReadonlyMap<number, Place>): RunningWorker[] {
  return [...places].flatMap(([worker, { slot, generation }]) =>
    slot.pid === null ? [] : [{ worker, pid: slot.pid, generation }],
  )
}
