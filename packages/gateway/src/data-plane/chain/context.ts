import type { Cloneable, Context, Log, RouteInfo, StreamPair } from '@cardea/sdk'
import { GatewayError } from '../../base/errors.ts'
import { pluginAbortController } from '../../base/plugin-signal.ts'
import { BodyWait } from '../body/body-wait.ts'
import type { ChainEntry } from './chain.ts'
import { EnteredPlugins } from './entered-plugins.ts'
import { type ChainUser, type ExchangeView, Phase, type SavedMessage } from './exchange-view.ts'
import { GuardState } from './guard.ts'
import { noteListenerFailure } from './hook-failure.ts'
import type { Hook } from './hook-wait.ts'
import { PairTransform } from './pair-transform.ts'
import { RequestView } from './request-view.ts'
import { ResponseView } from './response-view.ts'
import type { Transformer } from './transform-stage.ts'

/**
 * What became of a plugin in one exchange. Entered: its `handle` runs. Barred: its hooks are not called, and its failure policy
 * decided. Overtaken: no longer the plugin's context, but that of a hook which the exchange did not wait for.
 */
export type Outcome = 'entered' | 'passed' | 'answered' | 'failed' | 'skipped' | 'barred' | 'overtaken'

/** How long the hooks of one plugin took in one exchange, and what else only its record tells. */
export class HookTimes {
  handleMs = 0
  onResponseMs = 0
  /** Its onResponse failed and was passed over. */
  onResponseSkipped = false
}

const NO_PAIRS: readonly PairTransform[] = []
const OVER = new EnteredPlugins(null)

/**
 * One exchange as one plugin sees it. Made anew for each, never pooled, and revoked at its end: whatever a plugin keeps
 * of it throws from then on, instead of showing it another client's request.
 */
export class HookContext implements Context {
  readonly entry: ChainEntry
  /** Of the plugin before it in the chain: most of what is done with contexts goes backwards. */
  previous: HookContext | null
  outcome: Outcome = 'entered'
  /** Only in a chain that wants a record. */
  times: HookTimes | null = null
  /** Transforms that `handle` wants on the response's body; applied when it is this plugin's turn. */
  transforms: { readonly transformer: Transformer; readonly decode: boolean }[] | null = null
  /** Its onError or onResponse runs: it may edit the response. */
  mayEditResponse = false
  /** The message before this plugin's hook changed it; null: it has not, or its failure is never passed over. */
  saved: SavedMessage | null = null
  #entered: EnteredPlugins
  #request: RequestView | null = null
  #response: ResponseView | null = null
  #abort: AbortController | 'aborted' | null = null
  #pairs: PairTransform[] | null = null
  #own: unknown
  #reading: { readonly hook: Hook; readonly wait: BodyWait } | null = null

  constructor(entered: EnteredPlugins, entry: ChainEntry, previous: HookContext | null) {
    this.#entered = entered
    this.entry = entry
    this.previous = previous
  }

  /** The exchange while the context is live; throws after that. */
  get exchange(): ExchangeView {
    const { exchange } = this.#entered
    if (exchange === null) throw revoked(this.entry)
    return exchange
  }

  get id(): string {
    return this.exchange.id
  }

  get request(): RequestView {
    if (this.revoked) throw revoked(this.entry)
    this.#request ??= new RequestView(this)
    return this.#request
  }

  get response(): ResponseView {
    if (this.revoked) throw revoked(this.entry)
    this.#response ??= new ResponseView(this)
    return this.#response
  }

  get route(): RouteInfo {
    const { routeName, params } = this.exchange
    return { name: routeName, params }
  }

  get values(): Map<string, Cloneable> {
    if (this.outcome === 'overtaken') return new Map(this.exchange.values)
    this.willEdit()
    return this.exchange.values
  }

  get own(): unknown {
    if (this.revoked) throw revoked(this.entry)
    return this.#own
  }

  set own(value: unknown) {
    if (this.revoked) throw revoked(this.entry)
    this.#own = value
  }

  get log(): Log {
    return new ExchangeLog(this.entry.instance.log, this.exchange)
  }

  get signal(): AbortSignal {
    const { exchange } = this
    if (this.#abort === null || this.#abort === 'aborted') {
      const isLate = this.#abort !== null
      this.#abort = this.#newAbort(exchange)
      this.#entered.addSignalled(this)
      if (isLate) this.#abort.abort()
    }
    return this.#abort.signal
  }

  #newAbort({ id, routeName }: ExchangeView): AbortController {
    const { entry } = this
    return pluginAbortController(entry.guard.mark, (thrown) =>
      noteListenerFailure(entry, thrown, { id, routeName }),
    )
  }

  /**
   * In the phase of `handle`, before it changes something: whose `handle` has ended must not do so. It would be another's
   * answer, and the other's fault. Throws TypeError.
   */
  checkInHandle(): void {
    if (this.outcome !== 'entered') {
      throw new TypeError(
        `handle of plugin "${this.entry.plan.name}" has ended; what it did not wait for comes too late`,
      )
    }
  }

  /** The same in the phase of the response, whose hooks are onError and onResponse. Throws TypeError. */
  checkInResponse(): void {
    if (!this.mayEditResponse) {
      throw new TypeError(
        `No hook of plugin "${this.entry.plan.name}" runs now; what it did not wait for comes too late`,
      )
    }
  }

  /** Its plugin may change the message or `values` now: if it fails and is passed over, that is taken back. */
  willEdit(): void {
    if (this.saved !== null || !this.entry.mayBePassedOver) return
    const { exchange } = this
    const phase = this.outcome === 'entered' ? Phase.handle : Phase.response
    if (exchange.phase === phase) this.saved = exchange.save()
  }

  /** A hook of its plugin has ended well: what it changed counts. */
  keepEdits(exchange: ChainUser): void {
    this.mayEditResponse = false
    if (this.saved !== null) exchange.keep()
    this.saved = null
  }

  recordTransform(transformer: Transformer, decode: boolean): void {
    this.transforms ??= []
    this.transforms.push({ transformer, decode })
  }

  /** Whatever becomes of it, it is closed when the exchange ends. Throws TypeError on what is no pair of unused streams. */
  openPair(pair: StreamPair): PairTransform {
    const opened = new PairTransform(pair, this.entry.guard.mark)
    this.#pairs ??= []
    this.#pairs.push(opened)
    this.#entered.addSignalled(this)
    return opened
  }

  /** Whether a response is this plugin's to see: its handle returned true, and it has something to do with it. */
  get wantsResponse(): boolean {
    if (!this.entry.hasOnResponse && this.transforms === null) return false
    return this.outcome === 'passed'
  }

  /** When it is skipped, the outcome stays `passed`: by that the plugin still hears of errors. */
  onResponseFailed(skipped: boolean): void {
    if (!skipped) this.outcome = 'failed'
    else if (this.times !== null) this.times.onResponseSkipped = true
  }

  /** No hook of the plugin may be called any more, not even of exchanges that have entered it. */
  get isQuarantined(): boolean {
    return this.entry.guard.state === GuardState.quarantined
  }

  /**
   * Whether the exchange went another way while its hook was called: what the hook asked for broke the request or the response,
   * and that has been answered. Then `promise`, what the hook returned, is of no interest.
   */
  isOvertaken(promise: Promise<unknown> | null = null): boolean {
    if (this.outcome !== 'overtaken') return false
    promise?.catch(() => {})
    return true
  }

  /** Of the hook that runs, for a body that its plugin reads. */
  get bodyWait(): BodyWait {
    const { hook } = this.#entered
    if (this.#reading?.hook !== hook)
      this.#reading = { hook, wait: new BodyWait(this.exchange.sweeper.clock) }
    return this.#reading.wait
  }

  /** Null: the hook that runs has not read a body. */
  get bodyWaitSoFar(): BodyWait | null {
    return this.bodyWaitOf(this.#entered.hook)
  }

  /** Null: `hook` has not read a body. */
  bodyWaitOf(hook: Hook): BodyWait | null {
    return this.#reading?.hook === hook ? this.#reading.wait : null
  }

  get revoked(): boolean {
    return this.#entered.exchange === null
  }

  abort(): void {
    for (const pair of this.#pairs ?? NO_PAIRS) pair.abort()
    if (this.#abort === null) this.#abort = 'aborted'
    else if (this.#abort !== 'aborted') this.#abort.abort()
  }

  /**
   * What later hooks of the plugin get in its place, since a hook that runs on holds this one: no edit of the one counts as
   * the other's. The streams go with it: a body may be on its way through them. To be followed by `revoke` or `overtake`.
   */
  renewed(): HookContext {
    const context = new HookContext(this.#entered, this.entry, this.previous)
    context.outcome = this.outcome === 'entered' ? 'failed' : this.outcome
    context.times = this.times
    context.transforms = this.transforms
    context.saved = this.saved
    context.#own = this.#own
    context.#pairs = this.#pairs
    this.#pairs = null
    if (context.#pairs !== null) this.#entered.addSignalled(context)
    return context
  }

  /** Its hook had its time: every use throws. */
  revoke(): void {
    this.#entered = OVER
    this.abort()
  }

  /** The exchange goes another way while its hook runs, which is no fault of that: it may read on, until the exchange ends. */
  overtake(): void {
    this.outcome = 'overtaken'
    this.mayEditResponse = false
  }
}

function revoked(entry: ChainEntry): GatewayError {
  const name = entry.plan.name
  return new GatewayError(
    'CONTEXT_REVOKED',
    `A context of plugin "${name}" was used after its exchange or its hook's time was over`,
    { plugin: name },
  )
}

/** Adds the request id and the route to every line. */
class ExchangeLog implements Log {
  readonly #log: Log
  readonly #fields: { readonly requestId: string; readonly route: string }

  constructor(log: Log, exchange: ExchangeView) {
    this.#log = log
    this.#fields = { requestId: exchange.id, route: exchange.routeName }
  }

  debug(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#log.debug(message, { ...fields, ...this.#fields })
  }

  info(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#log.info(message, { ...fields, ...this.#fields })
  }

  warn(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#log.warn(message, { ...fields, ...this.#fields })
  }

  error(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#log.error(message, { ...fields, ...this.#fields })
  }
}
