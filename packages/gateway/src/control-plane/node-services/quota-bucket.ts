import type { QuotaWindow, SpentTokens } from '../../base/spent-tokens.ts'
import { QUOTA_LIMITS } from '../../config/quota-limits.ts'
import type { QuotaAsk, QuotaKnowledge, QuotaNote } from '../../protocol/node-services.ts'
import {
  deal,
  EPSILON,
  hearLease,
  isAwaitedNow,
  isWorthRecalling,
  type Lease,
  leastOf,
  newLease,
  restock,
  sumOf,
  untilRecallMs,
  waitingOf,
} from './quota-deal.ts'
import { type QuotaReport, recoveredFree } from './quota-recovery.ts'
import { hasComeBack, levy, lostOf, recallMsOf, untilFilledMs } from './quota-window.ts'

/** What a bucket has to do with: the workers of the node. */
export interface QuotaWorkers {
  /** How many there are meant to be; they are numbered from 1. */
  readonly count: number
  isAlive(worker: number): boolean
  tell(worker: number, note: QuotaNote): void
}

/** When those who speak have less than this of their parts, all others are called. */
const DRAINED_RATIO = 0.75

/** One bucket as the supervisor keeps it; protocol/node-services.ts has the rules. Times are milliseconds. */
export class QuotaBucket {
  readonly plugin: string
  readonly key: string
  readonly #workers: QuotaWorkers
  #lastSequence = 0
  /** In the order of being served: who had something last comes last. */
  readonly #leases = new Map<number, Lease>()
  #rate: number
  /** What flows in; 0 into a window. */
  #ratePerMs: number
  #burst: number
  #window: QuotaWindow | null
  /** Of a window, what comes back to nobody else: dead workers held or used it. */
  #lost: SpentTokens | null
  /** What no worker holds. */
  #free = 0
  #filledAt: number
  #heardAt: number
  /** When it is worth looking at those who wait. */
  #wakeAt = Number.POSITIVE_INFINITY
  /** What workers knew of the supervisor before; until all have said it nothing is granted. */
  #knowledge: QuotaReport[] = []
  #isSettled: boolean
  #hasUnanswered = false

  constructor(ask: QuotaAsk, workers: QuotaWorkers, isSettled: boolean, now: number) {
    this.plugin = ask.plugin
    this.key = ask.key
    this.#workers = workers
    this.#rate = ask.rate
    this.#burst = ask.burst
    this.#window = ask.window
    this.#ratePerMs = ask.window === null ? ask.rate / 1_000 : 0
    this.#lost = lostOf(ask, now)
    this.#filledAt = now
    this.#heardAt = now
    this.#isSettled = isSettled
    for (let worker = 1; worker <= workers.count; worker += 1) {
      if (!workers.isAlive(worker)) this.#takeOver(worker)
    }
  }

  get wakeAt(): number {
    return this.#wakeAt
  }

  /** An ask has had no note yet. */
  get hasUnanswered(): boolean {
    return this.#hasUnanswered
  }

  /** Somebody waits for tokens. */
  get isThirsty(): boolean {
    for (const lease of this.#leases.values()) if (lease.want > 0) return true
    return false
  }

  /** Books what the worker says. What it wants it gets by `serve`; at once if true. */
  hear(worker: number, ask: QuotaAsk, now: number): boolean {
    this.#fill(now)
    let lease = this.#leases.get(worker)
    // It was sent before the worker heard that it may forget.
    if (!ask.isClaim && (lease === undefined || lease.isPending)) return false
    lease ??= this.#addLease(worker)
    const returned = hearLease(lease, ask, now)
    this.#hasUnanswered = true
    this.#free += returned - ask.drawn - lease.unfoundedPart
    lease.unfoundedPart = 0
    this.#heardAt = now
    if (ask.rate !== this.#rate || ask.burst !== this.#burst || ask.window !== this.#window) {
      this.#reshape(ask, now)
    }
    if (ask.known !== null) this.#learn(ask.known, ask.held, now)
    this.#cap()
    return returned > 0
  }

  /** All workers have said what they knew. */
  settle(now: number): void {
    if (this.#isSettled) return
    this.#isSettled = true
    let room = this.#part * this.#parts - this.#outstanding
    // What workers gave back with the first they said is there already.
    if (this.#lost !== null) room -= sumOf(this.#leases.values(), 'spent') + this.#free
    const terms = { now, part: this.#part, partFillPerMs: this.#partFillPerMs, room }
    const recovered = recoveredFree(this.#knowledge, terms, this.#lost !== null)
    this.#free += recovered
    // Nobody knows of the rest.
    this.#lost?.spend(Math.max(room - recovered, 0))
    this.#knowledge = []
    this.#filledAt = now
    this.#cap()
  }

  /** Gives to those who wait what there is, answers those who asked, and calls back what is missing. */
  serve(now: number): void {
    if (!this.#isSettled) return
    this.#hasUnanswered = false
    this.#fill(now)
    const waiting = waitingOf(this.#leases.values(), now)
    // A window had more used of it than there was: that much less comes back.
    if (this.#lost !== null && this.#free < -EPSILON)
      this.#give(levy(this.#leases.values(), -this.#free), now)
    const given = deal(waiting, this.#free)
    for (const [lease, tokens] of given) this.#book(lease, tokens)
    const short =
      waiting.find((lease) => lease.need > EPSILON) ?? waiting.find((lease) => lease.want > EPSILON)
    // Who got something wants more when it says so again: it might have no use for it by then.
    for (const lease of given.keys()) lease.want = 0
    for (const lease of this.#leases.values()) {
      const tokens = given.get(lease) ?? 0
      if (tokens > 0 || lease.isOwed) this.#grant(lease, tokens, now)
    }
    // Others come first the next time.
    for (const lease of given.keys()) {
      this.#leases.delete(lease.worker)
      this.#leases.set(lease.worker, lease)
    }
    if (short !== undefined) this.#recall(short, now)
    else if (this.#free + this.#outstanding < DRAINED_RATIO * this.#part * this.#parts) this.#call(now)
    const head = waiting.find((lease) => lease.need > 0) ?? waiting.find((lease) => lease.want > 0)
    this.#wakeAt = head === undefined ? Number.POSITIVE_INFINITY : now + this.#waitMs(head, now)
  }

  /** Until there is something for `head`, or others are to be asked again what they have no use for. */
  #waitMs(head: Lease, now: number): number {
    const waitMs = untilFilledMs(leastOf(head) - this.#free, this.#fillPerMs, this.#lost, now)
    if (head.need <= 0) return waitMs
    return Math.min(waitMs, untilRecallMs(this.#leases.values(), head, this.#recallMs(head, now), now))
  }

  /** Others are asked again sooner where a request waits and they have enough for it: before long it is refused. */
  #recallMs(head: Lease, now: number): number {
    const elsewhere = this.#free + this.#outstanding - head.outstanding
    return recallMsOf(this.#lost, isAwaitedNow(head, now) && elsewhere + EPSILON >= head.need)
  }

  /** The worker is gone. What it held counts as used; a part that it never spoke of, as unused. */
  workerEnded(worker: number, now: number): void {
    this.#fill(now)
    this.#wakeAt = 0
    const lease = this.#leases.get(worker)
    if (worker <= this.#workers.count && lease?.isPending !== false) {
      this.#takeOver(worker)
    } else {
      if (lease !== undefined && this.#isSettled) {
        this.#lost?.spend(Math.max(lease.outstanding + lease.spent, 0))
      }
      this.#leases.delete(worker)
      if (worker <= this.#workers.count) this.#addLease(worker)
    }
    this.#cap()
  }

  /** The process goes on under a number beyond those that have parts; another will take its place. */
  workerRetiring(worker: number, as: number, now: number): void {
    this.#fill(now)
    const lease = this.#leases.get(worker)
    this.#leases.delete(worker)
    if (lease === undefined) this.#callOne(as, now, false)
    else this.#leases.set(as, { ...lease, worker: as })
    this.#addLease(worker)
  }

  /** A new process thinks that it has a part: it has none as long as this bucket is not full. */
  workerSpawned(worker: number): void {
    this.#leases.delete(worker)
    const lease = this.#addLease(worker)
    lease.isPending = true
    lease.unfoundedPart = this.#part
    this.#tellRecall(worker, true)
  }

  /**
   * When there is more than is asked for, workers with little get up to a part again, so that the next request there is
   * not refused. True when the bucket is full, all know that they may forget it, and it is to be dropped.
   */
  rest(now: number): boolean {
    if (!this.#isSettled || this.isThirsty) return false
    this.#fill(now)
    const leases = [...this.#leases.values()].filter(({ worker }) => this.#workers.isAlive(worker))
    if (leases.some((lease) => lease.isPending)) return false
    const slack = EPSILON * this.#burst
    const quietMs = now - this.#heardAt
    const isQuiet = quietMs >= QUOTA_LIMITS.idleMs
    // All that was used has come back by now, whatever became of it.
    if (this.#lost !== null && isQuiet && quietMs > 2 * this.#lost.windowMs) {
      this.#free = Math.max(this.#free, this.#part * this.#parts - this.#outstanding)
    }
    const isBack = leases.every((lease) => lease.outstanding <= this.#part + slack)
    if (isQuiet && isBack && this.#level >= this.#burst - slack) {
      for (const lease of leases) this.#tellForget(lease.worker, lease.used)
      return true
    }
    this.#give(restock(leases, this.#part, this.#free, slack), now)
    return false
  }

  /** The share of a worker that has said nothing. */
  get #part(): number {
    return this.#burst / this.#workers.count
  }

  /** How many have given theirs up. */
  get #parts(): number {
    let parts = 0
    for (const worker of this.#leases.keys()) if (worker <= this.#workers.count) parts += 1
    return parts
  }

  /** Tokens that flow into what no worker fills by itself. */
  get #fillPerMs(): number {
    return (this.#ratePerMs * this.#parts) / this.#workers.count
  }

  get #outstanding(): number {
    return sumOf(this.#leases.values(), 'outstanding')
  }

  /** The whole bucket. Who has said nothing counts as not having used anything. */
  get #level(): number {
    const untouched = (this.#workers.count - this.#parts) * this.#part
    return this.#free + this.#outstanding + untouched
  }

  #fill(now: number): void {
    // Filled at once by `settle`, from what the workers knew.
    if (!this.#isSettled) return
    this.#free += this.#fillPerMs * Math.max(now - this.#filledAt, 0) + (this.#lost?.recycle(now) ?? 0)
    this.#filledAt = now
    this.#cap()
  }

  /** What is out there beyond the bucket's size (it was larger before) is no debt; into a window nothing flows. */
  #cap(): void {
    if (this.#lost !== null) return
    this.#free = Math.min(this.#free, Math.max(this.#part * this.#parts - this.#outstanding, 0))
  }

  #reshape(ask: QuotaAsk, now: number): void {
    const room = this.#part * this.#parts
    const missing = this.#lost?.total ?? room - this.#free - this.#outstanding
    const before = this.#lost
    const next = lostOf(ask, now)
    this.#rate = ask.rate
    this.#burst = ask.burst
    this.#window = ask.window
    this.#ratePerMs = ask.window === null ? ask.rate / 1_000 : 0
    this.#lost = next
    if (next === null) return
    // What was missing comes back by the new window; what the limit grew by is there, what it shrank by is a debt.
    if (before?.kind === next.kind && before.windowMs === next.windowMs) this.#lost = before
    else next.spend(Math.max(Math.min(missing, room), 0))
    this.#free += this.#part * this.#parts - room
  }

  #learn(known: QuotaKnowledge, held: number, now: number): void {
    if (!this.#isSettled) {
      this.#knowledge.push({ ...known, held })
      return
    }
    // A worker that could not speak before: it must not have known of less than all others.
    const { free, at, drawnFrom, drawnUntil } = known
    const drawn = this.#partFillPerMs * (drawnUntil - drawnFrom)
    const knownFree = Math.min(this.#free, free + this.#fillPerMs * (now - at) - drawn)
    this.#lost?.spend(this.#free - knownFree)
    this.#free = knownFree
  }

  /** What flows into the part of one worker. */
  get #partFillPerMs(): number {
    return this.#ratePerMs / this.#workers.count
  }

  #addLease(worker: number): Lease {
    const lease = newLease(worker)
    this.#leases.set(worker, lease)
    return lease
  }

  /** What nobody is there to use is free, but for what a supervisor before this one may have given away already. */
  #takeOver(worker: number): void {
    const lease = this.#leases.get(worker)
    this.#leases.delete(worker)
    this.#addLease(worker)
    if (this.#isSettled) this.#free += lease === undefined ? this.#part : lease.outstanding
  }

  #book(lease: Lease, tokens: number): void {
    this.#free -= tokens
    lease.outstanding += tokens
    lease.granted += tokens
  }

  #grant(lease: Lease, tokens: number, now: number): void {
    lease.isOwed = false
    this.#lastSequence += 1
    this.#workers.tell(lease.worker, {
      kind: 'grant',
      plugin: this.plugin,
      key: this.key,
      tokens,
      left: this.#level,
      free: this.#free,
      at: now,
      sequence: this.#lastSequence,
      used: lease.used,
      returned: lease.returned,
      isWaiting: lease.want > 0,
    })
  }

  /** Asks all who may hold what they do not need. What they give back is served when it is here. */
  #recall(head: Lease, now: number): void {
    const isUrgent = head.need > 0
    const recallMs = this.#recallMs(head, now)
    for (const lease of this.#leases.values()) {
      if (lease === head || now - lease.recalledAt < recallMs) continue
      if (!isWorthRecalling(lease, isUrgent, hasComeBack(lease, this.#lost, now))) continue
      lease.recalledAt = now
      this.#tellRecall(lease.worker, isUrgent)
    }
    this.#call(now, isUrgent)
  }

  /**
   * Takes the part of those in who have said nothing. It would fill no further than to its top, while the others' goes
   * down: what flows in beyond that would be lost.
   */
  #call(now: number, isUrgent = false): void {
    for (let worker = 1; worker <= this.#workers.count; worker += 1) {
      if (!this.#leases.has(worker) && this.#workers.isAlive(worker)) this.#callOne(worker, now, isUrgent)
    }
  }

  #callOne(worker: number, now: number, isUrgent: boolean): void {
    const lease = this.#addLease(worker)
    lease.outstanding = this.#part
    lease.isPending = true
    lease.recalledAt = now
    this.#tellRecall(worker, isUrgent)
  }

  #give(given: ReadonlyMap<Lease, number>, now: number): void {
    for (const [lease, tokens] of given) {
      this.#book(lease, tokens)
      this.#grant(lease, tokens, now)
    }
  }

  #tellRecall(worker: number, isUrgent: boolean): void {
    const { plugin, key } = this
    this.#workers.tell(worker, {
      kind: 'recall',
      plugin,
      key,
      rate: this.#rate,
      burst: this.#burst,
      window: this.#window,
      isUrgent,
    })
  }

  #tellForget(worker: number, used: number): void {
    const { plugin, key } = this
    this.#workers.tell(worker, { kind: 'forget', plugin, key, used, isRefused: false })
  }
}
