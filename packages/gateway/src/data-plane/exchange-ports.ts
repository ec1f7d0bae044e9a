import type { BodyPort } from './body/body-port.ts'
import type { FieldLines } from './fields.ts'
import type { ClientStream } from './streams.ts'

/** What the flows of touched bodies need of their exchange. */
export interface PortOwner {
  readonly client: ClientStream
  readonly requestFields: FieldLines
  readonly responseFields: FieldLines
  readonly gatheredBytesMax: number
  continueRequest(): void
  discardRequest(): void
  /** Sends the upstream what waits for more. */
  flush(): void
  sendToUpstream(buffer: Buffer, start: number, end: number): void
  endToUpstream(trailers: FieldLines | null): void
  pauseResponse(): void
  resumeResponse(): void
  sendToClient(buffer: Buffer, start: number, end: number): void
  endResponse(trailers: FieldLines | null): void
  onBodyFailed(error: unknown): void
}

/** From the client to the upstream. */
export function requestPortOf(owner: PortOwner): BodyPort {
  return {
    gatheredBytesMax: owner.gatheredBytesMax,
    tooLarge: 'REQUEST_BODY_TOO_LARGE',
    contentEncoding: () => owner.requestFields.get('content-encoding'),
    removeContentEncoding: () => owner.requestFields.delete('content-encoding'),
    pauseSource: () => owner.client.pauseBody(),
    resumeSource: () => owner.client.resumeBody(),
    onRead: () => owner.continueRequest(),
    onUnwanted: () => owner.discardRequest(),
    deliver: (chunk) => {
      owner.sendToUpstream(chunk, 0, chunk.length)
      owner.flush()
    },
    deliverEnd: (trailers) => owner.endToUpstream(trailers),
    onBroken: (error) => owner.onBodyFailed(error),
  }
}

/** From the upstream, or from an answer of the gateway's own, to the client. */
export function responsePortOf(owner: PortOwner): BodyPort {
  return {
    gatheredBytesMax: owner.gatheredBytesMax,
    tooLarge: 'UPSTREAM_BODY_TOO_LARGE',
    contentEncoding: () => owner.responseFields.get('content-encoding'),
    removeContentEncoding: () => owner.responseFields.delete('content-encoding'),
    pauseSource: () => owner.pauseResponse(),
    resumeSource: () => owner.resumeResponse(),
    onRead() {},
    onUnwanted: () => owner.resumeResponse(),
    deliver: (chunk) => {
      owner.sendToClient(chunk, 0, chunk.length)
      owner.client.flush()
    },
    deliverEnd: (trailers) => owner.endResponse(trailers),
    onBroken: (error) => owner.onBodyFailed(error),
  }
}
