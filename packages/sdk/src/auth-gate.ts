import { type Consumer, setConsumer } from './consumer.ts'
import { type AMBIGUOUS, type CredentialSource, credentialReader } from './credentials.ts'
import type { Context, Request } from './index.ts'
import { type Problem, sendProblem } from './problem.ts'
import { noteSecretParameters } from './secret-parameters.ts'
import { trustedFields } from './trusted-fields.ts'

/** Why a request is not let in. */
export interface Refusal extends Problem {
  /** What its challenge says (RFC 6750, 3.1); null: the request carried nothing that would be an error. */
  readonly error: 'invalid_request' | 'invalid_token' | 'insufficient_scope' | null
  /** It is not the client's doing: in place of a challenge it is told to come again after as many seconds. */
  readonly retryAfterSeconds?: number
}

/** What a client has to bring (RFC 9110, 11.6.1): `Scheme name="value", …`. */
export interface Challenge {
  readonly scheme: string
  /** In the order in which they are written. Printable ASCII. */
  readonly parameters: Readonly<Record<string, string>>
}

/** Who is let in. Made once for each credential where that can be: all exchanges share it. */
export interface Admission {
  readonly consumer: Consumer
  /** Of the gate's `upstreamFields`, in their order; null: there is nothing to tell. See {@link fieldText}. */
  readonly fieldValues: readonly (string | null)[]
}

export interface AuthGateOptions {
  /** Where a credential may stand. */
  readonly sources: readonly CredentialSource[]
  /** One WWW-Authenticate line each, in all refusals. */
  readonly challenges: readonly Challenge[]
  /** Header fields that tell the upstream who it is, and that no client can write. Default: none. */
  readonly upstreamFields?: readonly string[]
  /** Leaves the credential on the request, for an upstream that needs it. Default: false. */
  readonly keepsCredential?: boolean
  /** The scopes that `insufficient_scope` asks for (RFC 6750, 3). Default: not said. */
  readonly scope?: string | undefined
}

/**
 * What plugins that authenticate have in common, so that none of them forgets a part of it:
 *
 *     const gate = authGate({
 *       sources: [{ header: 'authorization', scheme: 'Bearer' }],
 *       challenges: [{ scheme: 'Bearer', parameters: { realm: 'api' } }],
 *       upstreamFields: ['x-user'],
 *     })
 *     handle(ctx) {
 *       const token = gate.read(ctx.request)
 *       if (token === AMBIGUOUS) return gate.refuse(ctx, TWO_TOKENS)
 *       const user = token === null ? undefined : users.get(host.hash('sha256', token, 'hex'))
 *       return user === undefined ? gate.refuse(ctx, WHO_ARE_YOU) : gate.admit(ctx, user)
 *     }
 */
export interface AuthGate {
  /** The credential, `''` if its place is there but empty, or null when the request has none. */
  read(request: Request): string | null | typeof AMBIGUOUS
  /** Answers with a problem and the challenges. Returns false, as `handle` should then. */
  refuse(ctx: Context, refusal: Refusal): false
  /**
   * Lets the request go on: takes its credential off, writes the upstream's fields in place of what the client sent under
   * their names, and says who is calling (see {@link setConsumer}). Call it also for who brought no credential, such as
   * an anonymous consumer. Returns true, as `handle` should then.
   */
  admit(ctx: Context, admission: Admission): true
}

/** A gate for the whole life of an instance. Throws TypeError on a challenge that no field can hold. */
export function authGate(options: AuthGateOptions): AuthGate {
  const { sources, challenges, upstreamFields = [], keepsCredential = false, scope } = options
  const reader = credentialReader(sources)
  const fields = trustedFields(upstreamFields)
  const parameters = sources.flatMap((source) => ('query' in source ? [source.query] : []))
  const starts = challenges.map(challengeText)
  const scopeText = scope === undefined ? '' : `, scope=${quoted(scope)}`
  return {
    read: (request) => reader.read(request),
    refuse(ctx, refusal) {
      if (parameters.length > 0) noteSecretParameters(ctx, parameters)
      const { error, retryAfterSeconds } = refusal
      if (retryAfterSeconds !== undefined) {
        return sendProblem(ctx, refusal, { 'retry-after': String(retryAfterSeconds) })
      }
      const why = error === null ? '' : `, error="${error}"${error === 'insufficient_scope' ? scopeText : ''}`
      return sendProblem(ctx, refusal, { 'www-authenticate': starts.map((start) => start + why) })
    },
    admit(ctx, { consumer, fieldValues }) {
      if (parameters.length > 0) noteSecretParameters(ctx, parameters)
      const { request } = ctx
      if (keepsCredential) reader.close(request)
      else reader.remove(request)
      fields.replace(request.headers, fieldValues)
      setConsumer(ctx, consumer)
      return true
    },
  }
}

function challengeText({ scheme, parameters }: Challenge): string {
  const written = Object.entries(parameters).map(([name, value]) => `${name}=${quoted(value)}`)
  // A scheme with nothing behind it would take the error for its credentials.
  if (written.length === 0) throw new TypeError(`The challenge ${scheme} needs a parameter, such as realm`)
  return `${scheme} ${written.join(', ')}`
}

/** quoted-string (RFC 9110, 5.6.4). */
function quoted(value: string): string {
  if (!/^[ -~]*$/.test(value)) {
    throw new TypeError(`A challenge cannot hold ${JSON.stringify(value)}: it is not printable ASCII`)
  }
  return `"${value.replaceAll(/["\\]/g, '\\$&')}"`
}
