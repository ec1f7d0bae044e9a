import type { Cloneable, ExchangeError, Protocol } from '@cardea/sdk'
import type { GatewayError } from '../../base/errors.ts'
import type { BodyFlow } from '../body/body-flow.ts'
import type { FieldLines, SavedLines } from '../fields.ts'
import type { Sweeper } from '../sweeper.ts'
import type { PendingAnswer } from './pending-answer.ts'
import type { EditStep, ResponseEdits } from './response-edits.ts'

/** Which hooks an exchange is running. */
export const Phase = { handle: 0, response: 1, sent: 2 } as const
export type Phase = (typeof Phase)[keyof typeof Phase]

/** A message, the body apart (see `BodyFlow.tryOut`), as it was before a plugin that may be passed over changed it. */
export type SavedMessage = SavedRequest | SavedResponse

interface SavedRequest {
  readonly kind: 'request'
  readonly method: string
  readonly path: string
  readonly pathSet: boolean
  /** Null: nobody had asked for it. */
  readonly query: URLSearchParams | null
  readonly values: ReadonlyMap<string, Cloneable> | null
  readonly fields: SavedLines
}

interface SavedResponse {
  readonly kind: 'response'
  readonly status: number
  readonly values: ReadonlyMap<string, Cloneable> | null
  readonly fields: SavedLines
}

/** What the contexts of a chain see and do of an exchange. */
export interface ExchangeView {
  readonly id: string
  /** For the time that a plugin's code may take. */
  readonly sweeper: Sweeper
  readonly phase: Phase
  readonly routeName: string
  readonly params: Readonly<Record<string, string>>
  readonly values: Map<string, Cloneable>
  /** Replaces what contexts hand out as it is (values, query) by copies. */
  unshare(): void
  /** Made on first use. */
  readonly answer: PendingAnswer
  /** Whether some hook has touched `answer`. */
  readonly hasAnswer: boolean
  /** Made on first use. */
  readonly edits: ResponseEdits
  /** Where `edits` stands, without making it. */
  readonly editMark: EditStep | null

  method: string
  readonly url: string
  readonly path: string
  /** Normalises; throws TypeError when the path is not one. */
  setPath(path: string): void
  readonly query: URLSearchParams
  readonly requestFields: FieldLines
  /** A plugin sets, appends or deletes fields of this lower-case name: what trailers say of it does not go on. */
  noteRequestEdit(name: string): void
  readonly host: string
  readonly clientIp: string
  readonly scheme: 'http' | 'https'
  readonly protocol: Protocol
  readonly requestTrailers: FieldLines | null
  readonly requestBody: BodyFlow
  /** The message at hand, before a plugin changes it that may be passed over. */
  save(): SavedMessage

  readonly responseStatus: number
  /** By a plugin. What goes with the old status alone is no field of the response any more. */
  changeStatus(status: number): void
  readonly responseFields: FieldLines
  /** The same for the response, besides `edits`. */
  noteResponseEdit(name: string): void
  readonly responseTrailers: FieldLines | null
  readonly responseBody: BodyFlow
  /** A transform was ended in the middle of a call, and all that called it: the content cannot go on. */
  onTransformEnded(error: GatewayError): void
  /** Whether the response is a part (206), whose bytes cannot be changed without breaking its ranges. */
  readonly responseIsPartial: boolean
}

/** What a chain reports to the exchange that runs it. */
export interface ChainUser extends ExchangeView {
  /** What a plugin did after `save` counts. */
  keep(): void
  /** It is taken back, with all that it put into `values`. Returns false when the body cannot be what it was. */
  restore(saved: SavedMessage): boolean
  /** Every handle hook returned true. */
  onHandled(): void
  /** A hook answers: `answer` and `edits` hold the response. */
  onAnswered(): void
  /** A hook failed and its `on_failure` asks for an answer in the response's place. */
  onHookFailed(error: HookFailure): void
  /** All onResponse hooks ran. */
  onResponded(): void
  /** All onFinish hooks ran: nothing of the chain is left. */
  onFinished(): void
  /** A hook was ended in the middle of a call, and all that called it. */
  onHookEnded(error: GatewayError): void
  /** The same befell something else of the chain or the exchange. */
  onBrokenOff(error: GatewayError): void
  /** A mistake of ours after a hook had settled. */
  onMistake(thrown: unknown): void
}

export interface HookFailure extends ExchangeError {
  /** What `on_failure: fallback` answers, else null. */
  readonly fallback: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
  } | null
}
