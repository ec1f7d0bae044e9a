import type { ExchangeError } from '@cardea/sdk'
import { type ErrorCode, GatewayError } from '../base/errors.ts'
import { type Answer, answerOf, problemAnswer } from './answer.ts'
import type { BodyPort } from './body/body-port.ts'
import { type HookFailure, Phase } from './chain/exchange-view.ts'
import { ExchangeEnd } from './exchange-end.ts'
import { requestPortOf, responsePortOf } from './exchange-ports.ts'
import { FieldLines } from './fields.ts'
import type { ClientFault, ClientStreamUser, UpstreamResponse } from './streams.ts'

/**
 * One request and its response on their way through a worker. This is the second half of the story: `onUpstreamHead`
 * takes the response and runs the chain backwards; `onResponded` sends the head; content follows. The ways out are in
 * exchange-end.ts, and `answerWith`, by which plugins and the gateway itself answer.
 */
export class Exchange extends ExchangeEnd implements ClientStreamUser {
  #tunnel = false
  /** One side of the tunnel sends no more. */
  #tunnelEnds = false
  /** The response's status and the method let content follow the head. */
  #hasContent = true
  /** The upstream's status lets no content follow its head, whatever plugins make of it. */
  #cameEmpty = false
  #cameAsHttp10 = false
  /** Content of an answer that the gateway or a plugin made. */
  #content: Buffer | null = null
  #contentFed = false

  // The response.

  onUpstreamInformational(status: number, fields: FieldLines): void {
    if (status === 100 && !this.expectContinue) return
    if (status === 100) this.expectContinue = false
    this.client.sendInformational(status, fields)
  }

  onUpstreamHead(response: UpstreamResponse): void {
    this.meter?.answered()
    const { status, contentLength, fields } = response
    this.#cameEmpty = status === 304 || status === 204
    this.#cameAsHttp10 = response.minorVersion === 0
    if (status === 426 && response.upgrade !== null) fields.append('upgrade', response.upgrade)
    // A plugin made HEAD of another method: the length is that of content which will not come.
    const isEmpty = this.method === 'HEAD' && this.head.method !== 'HEAD'
    this.#takeResponse(status, fields, isEmpty ? 0 : contentLength)
    if (status === 101) this.#prepareTunnel(response.upgrade ?? '')
    else if (!this.requestEnded) this.client.pauseBody()
    this.inUpstreamCall = true
    this.#respond(null)
    this.inUpstreamCall = false
  }

  #takeResponse(status: number, fields: FieldLines, contentLength: number): void {
    this.responseTaken = true
    this.responseStatus = status
    this.responseFields = fields
    this.responseLength = contentLength
    this.responseFlow?.abort(new GatewayError('CLIENT_ABORTED', 'The response was replaced'))
    this.responseFlow = null
    this.phase = Phase.response
    if (this.pending) {
      this.pending = false
      this.owner.pendingRequests--
    }
    if (this.hasEdits) this.edits.replayOn(fields)
  }

  #prepareTunnel(upgrade: string): void {
    this.#tunnel = true
    this.responseFields.append('connection', 'upgrade')
    this.responseFields.append('upgrade', upgrade)
  }

  #respond(error: ExchangeError | null): void {
    if (this.run === null) {
      this.onResponded()
      return
    }
    // Nothing of the body may pass before the hooks are done with the head.
    this.leg?.pause()
    this.run.respond(error)
  }

  /** The chain has run backwards: the head leaves. */
  onResponded(): void {
    const failure = this.responseFlow?.failure ?? null
    if (failure !== null) {
      this.onBodyFailed(failure.error)
      return
    }
    this.phase = Phase.sent
    const status = this.responseStatus
    if (this.#tunnel && status !== 101) this.#refuseTunnel()
    if (this.responseFlow !== null) this.settleResponseFields(this.responseFlow)
    this.#hasContent = this.mayHaveContent
    const isAsItCame = this.responseFlow === null || !this.responseFlow.changed
    if (this.#hasContent && this.#cameEmpty && this.leg !== null && isAsItCame) this.responseLength = 0
    // HTTP/1.0 does not know the field (RFC 9110, 7.8).
    if (status === 426 && this.protocol !== 'HTTP/1.1') this.responseFields.delete('upgrade')
    this.statusSent = status
    const { via, viaHttp10, shownNumber } = this.generation
    this.responseFields.append('via', this.#cameAsHttp10 && this.leg !== null ? viaHttp10 : via)
    if (shownNumber !== null) this.responseFields.set('x-cardea-generation', shownNumber)
    this.client.sendHead(
      status,
      this.responseFields,
      status === 101 ? -1 : this.responseLength,
      this.#hasContent,
    )
    if (this.#tunnel) this.#openTunnel()
    else this.#openContent()
  }

  #openContent(): void {
    const { leg } = this
    if (this.responseFlow !== null) this.responseFlow.open()
    else if (leg === null) this.#sendOwnContent()
    else {
      leg.resume()
      // Within the upstream's call more content may follow at once and leave in the same write.
      if (!this.inUpstreamCall && !this.ended) this.client.flush()
    }
  }

  #sendOwnContent(): void {
    const content = this.#content
    if (content !== null) this.sendToClient(content, 0, content.length)
    this.endResponse(null)
  }

  onUpstreamData(buffer: Buffer, start: number, end: number): void {
    if (this.responseFlow !== null) this.responseFlow.push(buffer, start, end)
    else this.sendToClient(buffer, start, end)
  }

  sendToClient(buffer: Buffer, start: number, end: number): void {
    if (!this.#hasContent || this.ended) return
    this.responseBytes += end - start
    this.client.sendData(buffer, start, end)
    if (!this.client.needsDrain) return
    if (this.responseFlow !== null) this.responseFlow.onSinkFull()
    else this.leg?.pause()
  }

  onClientDrain(): void {
    // What drained was another response's: nothing of this one may pass before its head.
    if (this.phase !== Phase.sent) return
    if (this.responseFlow !== null && !this.#tunnel) this.responseFlow.onSinkDrained()
    else this.leg?.resume()
  }

  onUpstreamFlush(): void {
    this.client.flush()
  }

  onUpstreamEnd(trailers: FieldLines | null): void {
    this.responseTrailers = trailers
    if (this.#tunnel) return
    if (this.responseFlow !== null) this.responseFlow.pushEnd(trailers)
    else this.endResponse(trailers)
  }

  // Tunnels: after a 101 bytes go both ways as they are.

  #openTunnel(): void {
    this.client.startTunnel()
    this.leg?.resume()
  }

  /** An onResponse hook turned a 101 into something else. */
  #refuseTunnel(): void {
    this.#tunnel = false
    this.dropLeg()
    this.responseFields.delete('connection')
    this.responseLength = 0
  }

  onTunnelData(buffer: Buffer, start: number, end: number): void {
    this.requestBytes += end - start
    this.leg?.sendTunnelData(buffer, start, end)
    if (this.leg?.needsDrain === true) this.client.pauseBody()
  }

  onTunnelEnd(): void {
    this.#tunnelEnds = true
    this.leg?.endTunnel()
  }

  onUpstreamTunnelData(buffer: Buffer, start: number, end: number): void {
    this.responseBytes += end - start
    this.client.sendTunnelData(buffer, start, end)
    if (this.client.needsDrain) this.leg?.pause()
  }

  onUpstreamTunnelEnd(): void {
    this.#tunnelEnds = true
    this.client.endTunnel()
  }

  get #tunnelOpen(): boolean {
    return this.#tunnel && this.phase === Phase.sent
  }

  // Ways out.

  onAnswered(): void {
    this.meter?.handled()
    const { status, content, fields } = this.answer
    this.answerWith({ status, fields: fields ?? new FieldLines(), content }, null)
  }

  onHookFailed(failure: HookFailure): void {
    this.meter?.handled()
    const { fallback } = failure
    this.error = failure
    const answer =
      fallback === null
        ? problemAnswer(failure.code as ErrorCode, null, this.id)
        : answerOf(fallback.status, fallback.headers, fallback.body)
    this.answerWith(answer, failure)
  }

  protected answerWith(answer: Answer, error: ExchangeError | null): void {
    this.dropLeg()
    // Nobody may make content of a 205 (RFC 9110, 15.3.6), which is framed like any other.
    const content = answer.status === 205 ? null : answer.content
    this.#content = content
    this.#contentFed = false
    this.#tunnel = false
    this.#takeResponse(answer.status, answer.fields, lengthOf(answer.status, content))
    this.#respond(error)
  }

  onUpstreamFailed(error: GatewayError): void {
    if (this.#tunnelOpen) {
      this.endResponse(null)
      return
    }
    // A plugin's is in the log already.
    if (error.source !== 'plugin') this.owner.logFault(error, this)
    this.fail(error)
  }

  onClientClosed(why: ClientFault): void {
    if (this.ended) return
    if (this.#tunnelOpen) {
      // What one side has ended the other may close as it likes, by a reset too.
      this.aborted = why === 'CLIENT_ABORTED' && !this.#tunnelEnds
      this.finish()
      return
    }
    this.aborted = why === 'CLIENT_ABORTED'
    this.cut(new GatewayError(why))
  }

  // What the ports of touched bodies call.

  protected requestPort(): BodyPort {
    return requestPortOf(this)
  }

  protected responsePort(): BodyPort {
    return responsePortOf(this)
  }

  get gatheredBytesMax(): number {
    return this.generation.settings.limits.bodyBytesMax
  }

  pauseResponse(): void {
    this.leg?.pause()
  }

  resumeResponse(): void {
    // A 101 has no content: what comes after its head is the tunnel's, and waits until that is open.
    if (this.leg !== null && !this.#tunnel) {
      this.leg.resume()
      return
    }
    const flow = this.responseFlow
    if (flow === null || this.#contentFed) return
    this.#contentFed = true
    const content = this.#content
    if (content !== null) flow.push(content, 0, content.length)
    flow.pushEnd(null)
  }
}

/** Of a 304 it is the length that a 200 would have had (RFC 9110, 8.6), which empty content says nothing of. */
function lengthOf(status: number, content: Buffer | null): number {
  const length = content?.length ?? 0
  return length === 0 && status === 304 ? -1 : length
}
