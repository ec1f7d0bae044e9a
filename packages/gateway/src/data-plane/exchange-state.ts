import type { Cloneable, Protocol } from '@cardea/sdk'
import { GatewayError } from '../base/errors.ts'
import type { HostPolicy } from '../protocol/generation.ts'
import { BodyFlow } from './body/body-flow.ts'
import type { BodyPort } from './body/body-port.ts'
import { type ExchangeView, Phase, type SavedMessage } from './chain/exchange-view.ts'
import { PendingAnswer } from './chain/pending-answer.ts'
import { type EditStep, ResponseEdits } from './chain/response-edits.ts'
import { editedSearch } from './edited-search.ts'
import { FieldLines } from './fields.ts'
import type { Forwarding } from './forwarding/forwarded.ts'
import { withDashes } from './http1/field-names.ts'
import type { RequestHead } from './http1/request-head.ts'
import { normalizePath, PathFindings } from './routing/path.ts'
import type { ClientStream, UpstreamRequest } from './streams.ts'
import type { Sweeper } from './sweeper.ts'

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({})
const PRESERVE: HostPolicy = { kind: 'preserve' }
const findings = new PathFindings()

/** Fields that describe the old bytes of a body that has been changed (RFC 9110, 8.8.3 and 14; RFC 9530). */
const DESCRIBE_CONTENT = ['content-md5', 'content-digest', 'repr-digest', 'digest', 'accept-ranges']

const NO_NAMES: ReadonlySet<string> = new Set()

/** Names of fields that plugins set, appended or deleted where trailers can follow, with `-` for every `_`. */
class EditedNames {
  readonly inRequest = new Set<string>()
  readonly inResponse = new Set<string>()
}

/** What is known of one exchange: the request as it will go on, the response as it came, and what plugins did to them. */
export abstract class ExchangeState implements ExchangeView, UpstreamRequest {
  readonly client: ClientStream
  readonly head: RequestHead
  readonly id: string
  readonly forwarding: Forwarding
  readonly protocol: Protocol
  phase: Phase = Phase.handle
  routeName = ''
  params: Readonly<Record<string, string>> = NO_PARAMS
  method: string
  path = ''
  requestTrailers: FieldLines | null = null
  hostPolicy: HostPolicy = PRESERVE
  expectContinue: boolean
  upgrade: string | null
  responseStatus = 0
  responseFields: FieldLines = EMPTY
  responseTrailers: FieldLines | null = null
  /** -1: unknown. */
  responseLength = 0
  /** The query as sent, question mark included. */
  protected search = ''
  /** A plugin set the path: the route's `rewrite`, made from what matched, does not replace it. */
  protected pathSet = false
  #query: URLSearchParams | null = null
  #queryAsRead = ''
  #edits: ResponseEdits | null = null
  #answer: PendingAnswer | null = null
  #values: Map<string, Cloneable> | null = null
  #edited: EditedNames | null = null
  /**
   * Its content is longer than the route allows, by its own word. Answered once the chain has run: such as cors have a say
   * in every answer. Nobody reads the content until then.
   */
  protected bodyRefusal: GatewayError | null = null
  protected requestFlow: BodyFlow | null = null
  protected responseFlow: BodyFlow | null = null

  constructor(client: ClientStream, head: RequestHead, id: string) {
    this.client = client
    this.head = head
    this.id = id
    this.protocol = client.protocol
    this.method = head.method
    this.expectContinue = head.expectContinue
    this.upgrade = head.upgrade
    this.forwarding = client.forwarding.of(head.host, head.fields)
  }

  /** Splits the target into path and query and normalises the path. Throws GatewayError REQUEST_MALFORMED. */
  protected readTarget(): number {
    const { target } = this.head
    const question = target.indexOf('?')
    const path = question === -1 ? target : target.slice(0, question)
    this.search = question === -1 ? '' : target.slice(question)
    findings.fault = ''
    findings.oddities = 0
    this.path = target === '*' ? '*' : normalizePath(path, findings)
    if (this.path === '') throw new GatewayError('REQUEST_MALFORMED', findings.fault)
    return findings.oddities
  }

  get url(): string {
    return this.path + this.#searchNow()
  }

  #searchNow(): string {
    if (this.#query === null) return this.search
    return editedSearch(this.search, this.#queryAsRead, this.#query.toString())
  }

  get query(): URLSearchParams {
    if (this.#query === null) {
      this.#query = new URLSearchParams(this.search)
      this.#queryAsRead = this.#query.toString()
    }
    return this.#query
  }

  setPath(path: string): void {
    findings.fault = ''
    const normal = normalizePath(String(path), findings)
    if (normal === '') throw new TypeError(`The path cannot be set: ${findings.fault}`)
    this.path = normal
    this.pathSet = true
  }

  get requestFields(): FieldLines {
    return this.head.fields
  }

  get fields(): FieldLines {
    return this.head.fields
  }

  /**
   * What routes and plugins go by is the Host that the upstream gets too. A trusted proxy's X-Forwarded-Host is passed on,
   * never routed by: proxies let a client's own through, and with it a request could take one site's route to another's.
   */
  get host(): string {
    return this.head.host
  }

  get clientIp(): string {
    return this.forwarding.ip
  }

  get scheme(): 'http' | 'https' {
    return this.forwarding.scheme
  }

  get values(): Map<string, Cloneable> {
    this.#values ??= new Map()
    return this.#values
  }

  /** What a hook that was given up still holds is no longer the exchange's own. */
  unshare(): void {
    if (this.#values !== null) this.#values = new Map(this.#values)
    if (this.#query !== null) this.#query = new URLSearchParams(this.#query)
  }

  save(): SavedMessage {
    const values = this.#values === null ? null : new Map(this.#values)
    if (this.phase !== Phase.handle) {
      return { kind: 'response', status: this.responseStatus, values, fields: this.responseFields.save() }
    }
    const { method, path, pathSet } = this
    const query = this.#query === null ? null : new URLSearchParams(this.#query)
    return { kind: 'request', method, path, pathSet, query, values, fields: this.head.fields.save() }
  }

  keep(): void {
    this.requestFlow?.keep()
    this.responseFlow?.keep()
  }

  restore(saved: SavedMessage): boolean {
    // Others may hold the map and the query.
    this.#values?.clear()
    for (const [name, value] of saved.values ?? []) this.#values?.set(name, value)
    if (saved.kind === 'response') {
      this.responseStatus = saved.status
      this.responseFields.restore(saved.fields)
      const flow = this.responseFlow
      // One that was made for a status without content has none for another status.
      return flow === null || (flow.takeBack() && !(flow.absent && this.mayHaveContent))
    }
    this.method = saved.method
    this.path = saved.path
    this.pathSet = saved.pathSet
    this.head.fields.restore(saved.fields)
    const { query } = saved
    this.#query = query === null ? null : refilled(this.#query ?? query, query)
    return this.requestFlow?.takeBack() !== false
  }

  get edits(): ResponseEdits {
    this.#edits ??= new ResponseEdits()
    return this.#edits
  }

  get editMark(): EditStep | null {
    return this.#edits === null ? null : this.#edits.mark
  }

  get answer(): PendingAnswer {
    this.#answer ??= new PendingAnswer()
    return this.#answer
  }

  get hasAnswer(): boolean {
    return this.#answer !== null
  }

  /** An Upgrade says what a 101 switches to, and what a 426 asks for (RFC 9110, 15.2.2 and 15.5.22); no other has one. */
  changeStatus(status: number): void {
    if (status !== this.responseStatus) this.responseFields.delete('upgrade')
    this.responseStatus = status
  }

  protected get hasEdits(): boolean {
    return this.editMark !== null
  }

  get responseIsPartial(): boolean {
    return this.responseStatus === 206
  }

  // Trailers come when all that the head says has been acted on: they neither contradict it nor add to it.

  noteRequestEdit(name: string): void {
    if (!this.head.chunked) return
    this.#edited ??= new EditedNames()
    this.#edited.inRequest.add(withDashes(name))
  }

  noteResponseEdit(name: string): void {
    // Where the length is known there are no chunks, and so no trailers.
    if (this.responseLength !== -1) return
    this.#edited ??= new EditedNames()
    this.#edited.inResponse.add(withDashes(name))
  }

  /**
   * What of a request's trailers may go upstream. Some servers take trailers for header fields: what plugins vouch for,
   * took away or let pass in the head must not come after it, by any spelling.
   */
  protected requestTrailersToSend(trailers: FieldLines): FieldLines | null {
    const edited = this.#edited?.inRequest ?? NO_NAMES
    const inHead = new Set([...this.head.fields.names()].map(withDashes))
    const changed = this.requestFlow?.changed === true
    return trailers.without((given) => {
      const name = withDashes(given)
      return edited.has(name) || inHead.has(name) || (changed && DESCRIBE_CONTENT.includes(name))
    })
  }

  /** The same towards the client, who may see in trailers what the upstream says in the head too. */
  protected responseTrailersToSend(trailers: FieldLines): FieldLines | null {
    const recorded = this.#edits?.names().map(withDashes) ?? []
    const edited = new Set([...recorded, ...(this.#edited?.inResponse ?? NO_NAMES)])
    const changed = this.responseFlow?.changed === true
    return trailers.without((given) => {
      const name = withDashes(given)
      return edited.has(name) || (changed && (name === 'etag' || DESCRIBE_CONTENT.includes(name)))
    })
  }

  // The request as the upstream gets it.

  get hasContent(): boolean {
    const flow = this.requestFlow
    return this.head.hasBody || this.head.contentLength === 0 || (flow?.changed === true && !flow.absent)
  }

  get contentLength(): number {
    const flow = this.requestFlow
    if (flow !== null && !flow.absent) {
      const { whole } = flow
      // Trailer fields have no place but after chunks.
      if (whole !== null) return flow.trailers === null ? whole.length : -1
      if (flow.changed) return -1
    }
    return this.head.chunked ? -1 : Math.max(this.head.contentLength, 0)
  }

  get replayable(): boolean {
    const flow = this.requestFlow
    if (flow === null || flow.absent) return !this.head.hasBody
    // What transforms make of it, even of nothing, they make once.
    return flow.whole !== null
  }

  abstract onTransformEnded(error: GatewayError): void
  abstract get forwardingLines(): string
  abstract get sweeper(): Sweeper

  // Bodies, once a plugin touches them.

  get requestBody(): BodyFlow {
    this.requestFlow ??= this.#openRequestFlow()
    return this.requestFlow
  }

  get responseBody(): BodyFlow {
    this.responseFlow ??= this.#openResponseFlow()
    return this.responseFlow
  }

  #openRequestFlow(): BodyFlow {
    const flow = new BodyFlow(this.requestPort())
    if (!this.head.hasBody) {
      flow.knowEmpty()
      if (this.head.contentLength === -1) flow.knowAbsent()
    } else if (this.bodyRefusal !== null) flow.abort(this.bodyRefusal)
    else if (this.phase !== Phase.handle) flow.close()
    return flow
  }

  #openResponseFlow(): BodyFlow {
    const flow = new BodyFlow(this.responsePort())
    if (!this.mayHaveContent) flow.knowAbsent()
    if (this.phase === Phase.sent) flow.close()
    return flow
  }

  /** Whether content can follow the response's head: what counts is what the client asked for (RFC 9112, 6.3). */
  protected get mayHaveContent(): boolean {
    const status = this.responseStatus
    return this.head.method !== 'HEAD' && status !== 304 && status !== 204 && status !== 101
  }

  protected abstract requestPort(): BodyPort
  protected abstract responsePort(): BodyPort

  /** Puts right what the request says of a body that plugins have changed. */
  protected settleRequestFields(flow: BodyFlow): void {
    flow.keepTrailers((trailers) => this.requestTrailersToSend(trailers))
    if (!flow.changed) return
    for (const name of DESCRIBE_CONTENT) this.head.fields.delete(name)
  }

  /** The same for the response. Returns nothing; `responseLength` is right afterwards. */
  protected settleResponseFields(flow: BodyFlow): void {
    const fields = this.responseFields
    flow.keepTrailers((trailers) => this.responseTrailersToSend(trailers))
    if (!flow.absent) this.#settleResponseLength(flow)
    else if (flow.changed) this.responseLength = -1
    if (!flow.changed) return
    for (const name of DESCRIBE_CONTENT) fields.delete(name)
    // The same resource, other bytes: no byte-for-byte validator any more (RFC 9110, 8.8.1).
    const etag = fields.get('etag')
    if (etag !== null && !etag.startsWith('W/')) fields.set('etag', `W/${etag}`)
  }

  #settleResponseLength({ whole, trailers, changed }: BodyFlow): void {
    if (whole !== null && trailers === null) this.responseLength = whole.length
    else if (whole !== null || changed) this.responseLength = -1
  }
}

/** `query` with the pairs of `content`. */
function refilled(query: URLSearchParams, content: URLSearchParams): URLSearchParams {
  if (query.toString() === content.toString()) return query
  for (const name of new Set(query.keys())) query.delete(name)
  for (const [name, value] of content) query.append(name, value)
  return query
}

const EMPTY = new FieldLines()
