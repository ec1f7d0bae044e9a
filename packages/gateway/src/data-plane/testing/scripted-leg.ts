import { type ErrorCode, GatewayError } from '../../base/errors.ts'
import type { Limits, UpstreamPlan } from '../../protocol/generation.ts'
import { FieldLines } from '../fields.ts'
import { Malformed, RESPONSE_CODES } from '../http1/malformed.ts'
import { requestText } from '../http1/request-text.ts'
import { type ResponseHead, readResponseHead } from '../http1/response-head.ts'
import type { UpstreamLeg, UpstreamLegUser, UpstreamRequest } from '../streams.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { bytesIn, pairsOf, piecesOf, scribble } from './body-source.ts'
import { SeenRequest } from './seen-request.ts'
import { decodedTrailers } from './trailer-section.ts'
import type { UpstreamAnswer, UpstreamScript } from './upstream-script.ts'
import type { VirtualClock } from './virtual-clock.ts'

export interface LegOwner {
  readonly clock: VirtualClock
  readonly limits: Limits
  readonly script: UpstreamScript
  /** The upstream has a request's head. */
  onSeen(request: SeenRequest): void
}

type Item =
  | { readonly kind: 'interim' | 'head'; readonly head: ResponseHead }
  | { readonly kind: 'data'; readonly data: Buffer }
  | { readonly kind: 'pause'; readonly pauseMs: number }
  | { readonly kind: 'end' | 'cut' }

const GATHERED_BYTES_MAX = 4 * 1024

/** RFC 9110, 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/**
 * The way to an upstream that follows a script, without a socket. Towards the exchange it behaves as an HTTP/1.1 leg
 * does: answers never come within a call of the exchange, and what is sent is gone when the call is over.
 */
export class ScriptedLeg implements UpstreamLeg {
  readonly target: string | null
  readonly #owner: LegOwner
  readonly #plan: UpstreamPlan
  readonly #request: UpstreamRequest
  readonly #user: UpstreamLegUser
  readonly #seen: SeenRequest
  readonly #headText: () => string
  #onComplete: () => void = () => {}
  /** Sent, and waiting for a flush (see http1/outbox.ts). */
  #gathered: Buffer[] = []
  #gatheredBytes = 0
  /** The upstream has seen the head. */
  #arrived = false
  #items: Item[] = []
  #trailers: FieldLines | null = null
  #paused = false
  #waiting = false
  #delivering = false
  #responding = false
  #cancelled = false
  #answered = false
  #tunnel = false
  #stopClock: () => void = () => {}

  constructor(upstream: Upstream, request: UpstreamRequest, user: UpstreamLegUser, owner: LegOwner) {
    this.#owner = owner
    this.#plan = upstream.plan
    this.#request = request
    this.#user = user
    const target = upstream.choose([])?.target ?? null
    this.target = target?.url ?? null
    this.#headText = () => (target === null ? '' : requestText(request, target))
    this.#seen = new SeenRequest(upstream.plan.name, target?.url ?? '', () => {
      if (!this.#cancelled) user.onUpstreamDrain()
    })
  }

  get needsDrain(): boolean {
    return this.#seen.unread > this.#owner.limits.relayBufferBytes
  }

  // The request.

  start(): void {
    this.#seen.takeHead(this.#headText())
    const outcome = this.#owner.script.connect?.(this.#seen) ?? 'accept'
    if (outcome === 'accept') this.#open(() => this.#answer())
    else if (outcome === 'stale') this.#open(() => this.#dieUnanswered())
    else if (outcome === 'hang') this.#fails(this.#plan.connectTimeoutMs, 'UPSTREAM_CONNECT_TIMEOUT')
    else {
      const code = outcome === 'refuse' ? 'UPSTREAM_CONNECT_FAILED' : 'UPSTREAM_DNS_FAILED'
      this.#soon(() => this.#fail(code, 'There is no connection'))
    }
  }

  #open(onComplete: () => void): void {
    this.#onComplete = onComplete
    this.#user.onUpstreamReady()
  }

  /** What was sent leaves, the head first of all. */
  flush(): void {
    if (this.#cancelled) return
    if (!this.#arrived) {
      this.#arrived = true
      this.#owner.onSeen(this.#seen)
      if (this.#request.expectContinue) this.#soon(() => this.#invite())
      else this.#offerEarly()
    }
    for (const data of this.#gathered) this.#seen.takeData(data)
    this.#gathered = []
    this.#gatheredBytes = 0
  }

  /** Asks for the content, unless the head is enough for an answer (RFC 9110, 10.1.1). */
  #invite(): void {
    if (!this.#offerEarly()) this.#user.onUpstreamInformational(100, new FieldLines())
  }

  #offerEarly(): boolean {
    const early = this.#owner.script.onHead?.(this.#seen) ?? null
    if (early !== null) this.#soon(() => this.#play(early))
    return early !== null
  }

  /** A kept connection that was closed on the other side: one more try when nothing can be done twice by it. */
  #dieUnanswered(): void {
    if (!this.#request.replayable || !IDEMPOTENT.has(this.#request.method)) {
      this.#fail('UPSTREAM_CLOSED', 'The connection was closed')
      return
    }
    this.#seen.takeHead(this.#headText())
    this.#seen.complete = false
    this.#onComplete = () => this.#answer()
    this.#user.onUpstreamReady()
  }

  sendData(buffer: Buffer, start: number, end: number): void {
    this.#gathered.push(Buffer.from(buffer.subarray(start, end)))
    this.#gatheredBytes += end - start
    if (this.#gatheredBytes > GATHERED_BYTES_MAX) this.flush()
  }

  sendEnd(trailers: FieldLines | null): void {
    if (this.#cancelled) return
    this.flush()
    this.#seen.takeEnd(trailers)
    if (this.#answered) return
    if (this.#plan.responseTimeoutMs > 0) {
      this.#fails(this.#plan.responseTimeoutMs, 'UPSTREAM_RESPONSE_TIMEOUT')
    }
    this.#soon(() => this.#onComplete())
  }

  // The response.

  #answer(): void {
    if (this.#answered) return
    const answer = this.#owner.script.answer?.(this.#seen) ?? {}
    if (!(answer instanceof Promise)) this.#play(answer)
    else {
      answer.then(
        (late) => {
          if (!this.#cancelled) this.#play(late)
        },
        (error: unknown) =>
          this.#fail('UPSTREAM_CLOSED', `The upstream of the test failed: ${String(error)}`),
      )
    }
  }

  #play(answer: UpstreamAnswer): void {
    if (this.#answered || this.#cancelled) return
    this.#answered = true
    if (answer.fault === 'silent') return
    if (answer.fault === 'closed') {
      this.#fail('UPSTREAM_CLOSED', 'The connection was closed')
      return
    }
    try {
      this.#items = this.#itemsOf(answer)
      this.#deliver()
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.#fail('UPSTREAM_RESPONSE_INVALID', error.message)
    }
  }

  #itemsOf(answer: UpstreamAnswer): Item[] {
    const pieces = piecesOf(answer.body)
    const head = this.#headOf(answer, bytesIn(pieces))
    const hasContent = this.#request.method !== 'HEAD' && head.status !== 204 && head.status !== 304
    const items: Item[] = (answer.informational ?? []).map(({ status, headers }) => ({
      kind: 'interim',
      head: this.#parse(status, pairsOf(headers)),
    }))
    if (answer.delayMs !== undefined) items.push({ kind: 'pause', pauseMs: answer.delayMs })
    items.push({ kind: 'head', head })
    for (const piece of hasContent ? pieces : []) {
      items.push(
        typeof piece === 'number' ? { kind: 'pause', pauseMs: piece } : { kind: 'data', data: piece },
      )
    }
    this.#trailers = decodedTrailers(answer.trailers, head.connection, this.#owner.limits, RESPONSE_CODES)
    if (answer.ends === 'cut') items.push({ kind: 'cut' })
    else if (answer.ends !== 'stall') items.push({ kind: 'end' })
    return items
  }

  #headOf(answer: UpstreamAnswer, contentBytes: number): ResponseHead {
    const { status = 200, body = null } = answer
    const fields = pairsOf(answer.headers)
    const says = (name: string) => fields.some(([other]) => other.toLowerCase() === name)
    if (
      !says('content-length') &&
      !says('transfer-encoding') &&
      status !== 204 &&
      status !== 304 &&
      status !== 101
    ) {
      const whole = !Array.isArray(body) && answer.trailers === undefined && answer.ends !== 'cut'
      if (whole) fields.push(['content-length', String(contentBytes)])
      else fields.push(['transfer-encoding', 'chunked'])
    }
    if (answer.fault === 'malformed') fields.push(['content-length', 'malformed'])
    return this.#parse(status, fields)
  }

  /** By the production parser: what it would refuse is refused here too. */
  #parse(status: number, fields: readonly (readonly [string, string])[]): ResponseHead {
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    const bytes = Buffer.from(`HTTP/1.1 ${status} \r\n${lines}\r\n`, 'latin1')
    const head = readResponseHead(bytes, 0, bytes.length, this.#owner.limits)
    if (head === null) throw new Error('The answer of the test is no complete head')
    return head
  }

  #deliver(): void {
    if (this.#delivering || this.#cancelled) return
    this.#delivering = true
    while (!this.#cancelled && !this.#paused && !this.#waiting) {
      const item = this.#items.shift()
      if (item === undefined) break
      if (item.kind === 'pause') this.#wait(item.pauseMs)
      else this.#deliverItem(item)
    }
    this.#delivering = false
    this.#user.onUpstreamFlush()
  }

  #deliverItem(item: Exclude<Item, { kind: 'pause' }>): void {
    if (item.kind === 'interim') {
      this.#user.onUpstreamInformational(item.head.status, item.head.fields)
      return
    }
    this.#responding = true
    this.#startIdleClock()
    if (item.kind === 'head') {
      this.#tunnel = item.head.status === 101
      this.#user.onUpstreamHead(item.head)
    } else if (item.kind === 'data') {
      if (this.#tunnel) this.#user.onUpstreamTunnelData(item.data, 0, item.data.length)
      else this.#user.onUpstreamData(item.data, 0, item.data.length)
      scribble(item.data)
    } else if (item.kind === 'cut') {
      this.#fail('UPSTREAM_CLOSED', 'The connection was closed before the response was complete')
    } else this.#end()
  }

  #end(): void {
    this.#stopClock()
    if (this.#tunnel) {
      this.#user.onUpstreamTunnelEnd()
      return
    }
    this.#cancelled = true
    this.#user.onUpstreamEnd(this.#trailers)
  }

  #wait(pauseMs: number): void {
    this.#waiting = true
    this.#owner.clock.after(pauseMs, () => {
      this.#waiting = false
      this.#deliver()
    })
  }

  pause(): void {
    this.#paused = true
    if (this.#responding) this.#stopClock()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#startIdleClock()
    this.#deliver()
  }

  // Clocks and ends.

  #startIdleClock(): void {
    this.#stopClock()
    if (!this.#responding || this.#tunnel || this.#cancelled || this.#plan.idleTimeoutMs === 0) return
    this.#fails(this.#plan.idleTimeoutMs, 'UPSTREAM_IDLE_TIMEOUT')
  }

  #fails(afterMs: number, code: ErrorCode): void {
    this.#stopClock()
    this.#stopClock = this.#owner.clock.after(afterMs, () => this.#fail(code, 'The upstream took too long'))
  }

  /** Not within the call, as nothing comes from a socket within it. */
  #soon(act: () => void): void {
    queueMicrotask(() => {
      if (!this.#cancelled) act()
    })
  }

  #fail(code: ErrorCode, detail: string): void {
    if (this.#cancelled) return
    this.#stopClock()
    this.#cancelled = true
    this.#user.onUpstreamFailed(new GatewayError(code, detail))
  }

  cancel(): void {
    if (this.#cancelled) return
    this.#cancelled = true
    this.#seen.cancelled = true
    this.#stopClock()
    this.#items = []
  }

  // Tunnels.

  sendTunnelData(buffer: Buffer, start: number, end: number): void {
    this.sendData(buffer, start, end)
    this.flush()
  }

  endTunnel(): void {
    this.#seen.complete = true
  }
}
