import type { FinishRecord, Log } from '@cardea/sdk'
import type { ErrorCode, GatewayError } from '../base/errors.ts'
import { ListenError } from '../base/listen-error.ts'
import type { Steps } from '../base/steps.ts'
import { PROCESS_LIMITS } from '../config/limits.ts'
import type { DrainBounds } from '../protocol/drain-bounds.ts'
import type { FaultEvent } from '../protocol/faults.ts'
import type { GatewaySettings, GenerationPlan } from '../protocol/generation.ts'
import type { LiveInstance, StagedInstances } from '../protocol/instance.ts'
import type { ListenAddress } from '../protocol/listen-address.ts'
import type { ListenHandle } from '../protocol/listen-handle.ts'
import type { WorkerCensus } from '../protocol/supervisor-worker.ts'
import type { ExchangeTrace } from '../protocol/trace.ts'
import { type Blame, BrokenOff, type StackEntry } from './broken-off.ts'
import { GuardBook } from './chain/guard.ts'
import { noteLooseFailure } from './chain/hook-failure.ts'
import { ClientAdmission } from './client-admission.ts'
import { Exchange } from './exchange.ts'
import type { ExchangeHost, RequestSide } from './exchange-request.ts'
import { AddressBlocks } from './forwarding/cidr.ts'
import { ForwardingFields } from './forwarding/forwarded.ts'
import { type Generation, type GenerationParts, generationInSteps } from './generation.ts'
import { ClientConnection } from './http1/client-connection.ts'
import type { ConnectionHost, StartedByConnection } from './http1/connection-host.ts'
import { refusalText } from './http1/refusal.ts'
import type { RequestHead } from './http1/request-head.ts'
import { LiveGenerations } from './live-generations.ts'
import { MistakeLog } from './mistake-log.ts'
import { RareLines } from './rare-lines.ts'
import { RefusalLog } from './refusal-log.ts'
import { RequestIds } from './request-ids.ts'
import type { ClientStream, UpstreamLeg, UpstreamLegUser, UpstreamRequest } from './streams.ts'
import { Sweeper, systemClock } from './sweeper.ts'
import { traceOf } from './trace-of.ts'
import { TurnWrites } from './turn-writes.ts'
import { AddressBook } from './upstream/addresses.ts'
import { Http1Leg } from './upstream/http1-leg.ts'
import { type Upstream, UpstreamRegistry } from './upstream/upstream.ts'
import type { WireOptions } from './wire.ts'

const BACKLOG = 511

/** What failed in exchanges that plugins are not to blame for. */
interface Fault {
  readonly code: ErrorCode
  readonly message: string
  readonly requestId: string
  readonly route: string | null
  readonly upstream: string | null
}

/** A generation that is ready to be committed. */
export interface StagedGeneration {
  readonly generation: Generation
  readonly held: StagedInstances
  readonly proxies: AddressBlocks
}

export interface DataPlaneOptions {
  readonly settings: GatewaySettings
  readonly log: Log
  readonly workerNumber: number
  /** What the system allows this process; infinite where nobody knows. */
  readonly openFilesMax: number
  /** Called for what befell an instance, beyond the one exchange it befell. */
  onFault(event: FaultEvent): void
  /** Called at the end of every exchange while tracing is on. */
  onTrace(trace: ExchangeTrace): void
}

/** All that serves in one worker: listeners, connections, exchanges, upstreams, and the generation they run on. */
export class DataPlane implements ConnectionHost, ExchangeHost {
  settings: GatewaySettings
  wireOptions: WireOptions
  readonly sweeper = new Sweeper(systemClock, (error) => this.onInternalError(error))
  pendingRequests = 0
  tracing = false
  readonly #options: DataPlaneOptions
  readonly #ids: RequestIds
  readonly #registry: UpstreamRegistry
  readonly #guards: GuardBook
  readonly #admission: ClientAdmission
  readonly #refusals: RefusalLog
  readonly #faults: RareLines<Fault>
  readonly #mistakes: MistakeLog
  /** By `host:port`. */
  readonly #handles = new Map<string, ListenHandle>()
  readonly #trust: { blocks: AddressBlocks }
  readonly #generations: LiveGenerations
  #draining = false
  #idleGraceMs = 0
  #exchanges = 0
  #requestsTotal = 0
  #onQuiet: (() => void) | null = null

  constructor(options: DataPlaneOptions) {
    const { settings, log, workerNumber, openFilesMax, onFault } = options
    this.#options = options
    this.settings = settings
    const writes = new TurnWrites(systemClock)
    this.sweeper.add(writes)
    this.wireOptions = { relayBufferBytes: settings.limits.relayBufferBytes, writes }
    this.#ids = new RequestIds(workerNumber)
    this.#admission = new ClientAdmission(log, systemClock, openFilesMax)
    this.#refusals = new RefusalLog(log, this.sweeper)
    this.#mistakes = new MistakeLog(log, this.sweeper)
    this.#faults = new RareLines(this.sweeper, ({ message, ...fault }, count) => {
      log.warn(message, { ...fault, count })
    })
    this.#trust = { blocks: new AddressBlocks(settings.trustedProxies) }
    this.#registry = new UpstreamRegistry({
      sweeper: this.sweeper,
      addresses: new AddressBook(() => this.sweeper.nowMs),
      writes,
      onInternalError: (error) => this.onInternalError(error),
    })
    this.#guards = new GuardBook(settings.faults, this.sweeper, onFault)
    this.#generations = new LiveGenerations({
      sweeper: this.sweeper,
      exchanges: () => this.#exchangesOfConnections(),
      onInternalError: (error) => this.onInternalError(error),
    })
  }

  get draining(): boolean {
    return this.#draining
  }

  get idleGraceMs(): number {
    return this.#idleGraceMs
  }

  /**
   * Compiles a generation: all of it that may fail. In the end the generation owns what it holds of the instances. Throws
   * when the plan does not compile; nothing has changed then. That its routes can be told apart is for the supervisor to
   * find out (`findRouteProblems`), before it comes here.
   */
  *stage(plan: GenerationPlan, held: StagedInstances): Steps<StagedGeneration> {
    const proxies = new AddressBlocks(plan.settings.trustedProxies)
    const parts: GenerationParts = {
      instances: held.instances,
      registry: this.#registry,
      guards: this.#guards,
      onFree: () => {
        this.#generations.freed(generation)
        void held.release()
      },
    }
    const generation: Generation = yield* generationInSteps(plan, parts, this.#generations.current)
    return { generation, proxies, held }
  }

  /** Lets go of a staged generation that will not be committed. */
  discard({ generation }: StagedGeneration): void {
    generation.retire()
  }

  /**
   * The pointer swap: from now on new exchanges run on this generation. What the old one holds is released when its
   * last exchange ends.
   */
  commit({ generation, proxies, held }: StagedGeneration): void {
    held.commit()
    this.settings = generation.settings
    const { relayBufferBytes } = generation.settings.limits
    this.wireOptions = { ...this.wireOptions, relayBufferBytes }
    this.#guards.faults = generation.settings.faults
    this.#guards.isWatched = generation.settings.log.pluginLevel !== undefined
    this.#guards.confirm(generation.quarantined)
    this.#admission.apply(generation.settings, generation.upstreamPlans)
    this.#trust.blocks = proxies
    this.#generations.replace(generation)
  }

  /** Whether every exchange that begins from now on is traced. */
  setTracing(on: boolean): void {
    this.tracing = on
  }

  onTrace(record: FinishRecord, secretParameters: readonly string[]): void {
    this.#options.onTrace(traceOf(record, this.#options.workerNumber, secretParameters))
  }

  /**
   * No hook of the instances with this key is called from now on, in no generation: their failure policy decides. A
   * generation that says so too is to follow; what comes after it is believed when it says otherwise.
   */
  quarantine(key: string): void {
    this.#guards.quarantine(key)
  }

  /** Code of an instance failed outside of its hooks; `what` is a sentence without its end. False: nobody counts for it. */
  noteFailure(instance: LiveInstance, what: string, thrown: unknown): boolean {
    const guard = this.#guards.guardOf(instance.plan.key)
    if (guard !== null) noteLooseFailure(instance, guard, what, thrown)
    return guard !== null
  }

  /**
   * A plugin blocks and is about to be ended together with all of `stack` (see `BrokenOff`): to be called while it stands
   * still. No hook of those who are to blame is called from now on. What is returned mends, in a later turn, what was left
   * half done; it is told what the hook failed by.
   */
  seize(stack: readonly StackEntry[], blame: Blame): (error: GatewayError) => void {
    const broken = new BrokenOff(stack, this.sweeper, blame)
    for (const key of broken.blamed) this.quarantine(key)
    return (error) => broken.mend(error)
  }

  /** Starts accepting on a handle that the master shares. Before the first commit requests get 503. Throws LISTEN_FAILED. */
  accept(handle: ListenHandle, address: ListenAddress): void {
    handle.onconnection = (error, connection) => {
      if (error === 0) this.#open(connection, address.port)
      else this.#admission.notAccepted(error)
    }
    // Nothing but latency hangs on it: a failure is no reason not to listen.
    handle.setNoDelay(true)
    const result = handle.listen(BACKLOG)
    if (result !== 0) {
      // What is tried again comes with a handle of its own.
      handle.close()
      throw new ListenError(address, result)
    }
    this.stopAccepting(address)
    this.#handles.set(keyOf(address), handle)
  }

  /** Accepts no more on this address; connections that came over it go on. Nothing happens when it never did. */
  stopAccepting(address: ListenAddress): void {
    const key = keyOf(address)
    this.#handles.get(key)?.close()
    this.#handles.delete(key)
  }

  #open(handle: object, port: number): void {
    const connection = new ClientConnection(handle, port, this)
    const admission = this.#admission.opened()
    if (admission === 'refuse') {
      connection.refuse('GATEWAY_OVERLOADED', 'The worker holds as many connections as it may')
    } else if (admission === 'turn-away') connection.reset()
  }

  forwardingFor(peerAddress: string, localPort: number): ForwardingFields {
    return new ForwardingFields({ peerAddress, localPort, scheme: 'http' }, this.#trust)
  }

  openExchange(client: ClientStream, head: RequestHead): Exchange | null {
    const generation = this.#generations.current
    if (generation === null) return null
    this.#exchanges++
    this.#requestsTotal++
    return new Exchange(client, head, this.#ids.next(), generation, this)
  }

  refusal(code: ErrorCode, detail: string, head: RequestHead | null, forwarding: ForwardingFields): string {
    const clientIp = head === null ? forwarding.peer : forwarding.of(head.host, head.fields).ip
    const requestId = this.#ids.next()
    this.#refusals.note({ code, detail, clientIp, requestId })
    return refusalText(code, detail, head, requestId)
  }

  onRefused({ code, message }: GatewayError, { clientIp, id }: RequestSide): void {
    this.#refusals.note({ code, detail: message, clientIp, requestId: id })
  }

  openLeg(upstream: Upstream, request: UpstreamRequest, user: UpstreamLegUser): UpstreamLeg {
    return new Http1Leg(upstream, request, user)
  }

  logFault(error: GatewayError, exchange: RequestSide): void {
    const { code, message } = error
    const { id: requestId, routeName: route } = exchange
    const upstream = exchange.route?.upstream?.plan.name ?? null
    this.#faults.note(`${code} ${upstream ?? ''}`, { code, message, requestId, route, upstream })
  }

  onInternalError(error: unknown): void {
    this.#mistakes.note(error)
  }

  onExchangeEnded(): void {
    this.#exchanges--
    if (this.#onQuiet !== null) this.#lookForQuiet()
  }

  connectionClosed(): void {
    this.#admission.closed()
    if (this.#onQuiet !== null) this.#lookForQuiet()
  }

  #lookForQuiet(): void {
    if (this.#admission.count === 0 && this.#exchanges === 0) this.#onQuiet?.()
  }

  /** Resolves when nothing is going on any more, the last hook included, or the time is over. */
  async #quiet(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onQuiet = resolve
    const timer = setTimeout(resolve, timeoutMs)
    this.#lookForQuiet()
    await promise
    clearTimeout(timer)
  }

  /**
   * Stops accepting, closes idle connections, lets the others finish what they do (answers carry `Connection: close`),
   * and ends the rest after `deadlineMs`: by a 503, or a reset where the head has left. Its last answers and hooks have
   * `closingMs`, twice. With `idleGraceMs` an idle connection may bring one more request within that time: one that is on its
   * way already would be lost.
   */
  async drain(
    deadlineMs: number,
    { closingMs = PROCESS_LIMITS.drainClosingMs, idleGraceMs = 0 }: Partial<DrainBounds> = {},
  ): Promise<{ cutExchanges: number }> {
    this.#draining = true
    this.#idleGraceMs = idleGraceMs
    for (const handle of this.#handles.values()) handle.close()
    this.#handles.clear()
    for (const connection of this.#connections()) connection.closeIfIdle(idleGraceMs)
    await this.#quiet(deadlineMs)
    const cutExchanges = [...this.#exchangesOfConnections()].length
    this.#endConnections((exchange) => exchange.expire('DRAIN_DEADLINE_PASSED'))
    await this.#quiet(closingMs)
    this.#endConnections((exchange) => exchange.breakOff('DRAIN_DEADLINE_PASSED'))
    // Whoever is stopped next has still to hear of the exchanges that were cut.
    await this.#quiet(closingMs)
    this.#generations.replace(null)
    this.#guards.report()
    this.#refusals.report()
    this.#faults.report()
    this.#mistakes.report()
    this.sweeper.stop()
    return { cutExchanges }
  }

  #endConnections(end: (exchange: StartedByConnection) => void): void {
    for (const connection of this.#connections()) {
      try {
        if (connection.exchange === null) connection.close()
        else end(connection.exchange)
      } catch (error) {
        connection.onFault(error)
      }
    }
  }

  /** Each has deadlines, and so is swept. */
  #connections(): readonly ClientConnection[] {
    return this.sweeper.all.filter((one) => one instanceof ClientConnection)
  }

  *#exchangesOfConnections(): Iterable<StartedByConnection> {
    for (const { exchange } of this.#connections()) if (exchange !== null) yield exchange
  }

  /** What the worker holds. */
  census(): WorkerCensus {
    const { rss, heapUsed } = process.memoryUsage()
    const generations = this.#generations.census()
    return { pid: process.pid, rssBytes: rss, heapBytes: heapUsed, ...this.counters(), generations }
  }

  counters(): { connections: number; exchanges: number; requestsTotal: number } {
    return {
      connections: this.#admission.count,
      exchanges: this.#exchanges,
      requestsTotal: this.#requestsTotal,
    }
  }
}

function keyOf({ host, port }: ListenAddress): string {
  return `${host}:${port}`
}
