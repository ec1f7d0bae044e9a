import {
  AMBIGUOUS,
  authGate,
  type Consumer,
  type Context,
  consumerOf,
  defineConsumer,
  type Host,
  type Middleware,
  type Refusal,
} from '@cardea/sdk'
import { holds } from './claims.ts'
import { type Bounds, boundsOf, type Config, keyKindOf } from './config.ts'
import { fixedKeys, type KeySource } from './key-source.ts'
import {
  challengeOf,
  SCOPE_REQUIRED,
  TOKEN_AMBIGUOUS,
  TOKEN_EXPIRED,
  TOKEN_INVALID,
  TOKEN_MISSING,
} from './refusals.ts'
import { RemoteKeys } from './remote-keys.ts'
import { TokenCache } from './token-cache.ts'
import { type Verdict, Verifier } from './verifier.ts'

export async function PluginMain(config: Config, host: Host): Promise<Middleware<Config>> {
  const bounds = boundsOf(config)
  const keys = await keySource(config, bounds, host)
  const verifier = new Verifier(config, bounds, keys, host.log)
  const known = new TokenCache<Verdict>(config.cache.tokens_max)
  const gate = authGate({
    sources: config.sources,
    challenges: [challengeOf(config)],
    upstreamFields: Object.keys(config.upstream_headers),
    keepsCredential: !config.remove_token,
    scope: config.require.scopes_all?.join(' '),
  })
  const nothingToTell = Object.keys(config.upstream_headers).map(() => null)
  const anonymous =
    config.anonymous === undefined
      ? null
      : defineConsumer({ ...config.anonymous, anonymous: true, method: 'jwt' })

  const decide = (ctx: Context, verdict: Verdict): boolean =>
    verdict.refusal === null ? gate.admit(ctx, verdict) : gate.refuse(ctx, verdict.refusal)

  const refuse = (ctx: Context, refusal: Refusal, reason: string | null): boolean => {
    // Not to the client: see TOKEN_INVALID.
    if (reason !== null) ctx.log.debug(`A token is refused: ${reason}`, { code: refusal.code })
    return gate.refuse(ctx, refusal)
  }

  const verify = async (ctx: Context, token: string, digest: string): Promise<boolean> => {
    const outcome = await verifier.verify(token)
    if (!outcome.ok) {
      known.delete(digest)
      return refuse(ctx, outcome.refusal, outcome.reason)
    }
    known.set(digest, outcome.verdict)
    return decide(ctx, outcome.verdict)
  }

  const withoutToken = (ctx: Context): boolean => {
    if (anonymous === null) return gate.refuse(ctx, TOKEN_MISSING)
    // Who proved who it is to a plugin before this one stays that. Nobody else is told that it may not: it has yet to
    // say who it is (RFC 6750, 3.1). Nor does it go on to a plugin that may know it: there may be none.
    const consumer = consumerOf(ctx) ?? anonymous
    if (!meets(consumer, config)) return gate.refuse(ctx, consumer.anonymous ? TOKEN_MISSING : SCOPE_REQUIRED)
    return gate.admit(ctx, { consumer, fieldValues: nothingToTell })
  }

  return {
    name: 'jwt',
    /** Without a promise for a token that is known: most are, and nobody waits for what nothing is asked for. */
    handle(ctx) {
      const token = gate.read(ctx.request)
      if (token === AMBIGUOUS) return gate.refuse(ctx, TOKEN_AMBIGUOUS)
      if (token === null) return withoutToken(ctx)
      if (token === '' || token.length > bounds.tokenBytesMax) {
        return refuse(ctx, TOKEN_INVALID, 'it is empty, or longer than `token_bytes_max`')
      }
      const now = Date.now()
      // Tokens are not kept, only what tells whether one is the same: who reads our memory shall find no way in.
      const digest = host.hash('sha256', token, 'base64url')
      const verdict = known.get(digest)
      if (verdict === undefined || !verdict.key.isLive || now >= verdict.recheckAt) {
        return verify(ctx, token, digest)
      }
      if (now >= verdict.endsAt) return gate.refuse(ctx, TOKEN_EXPIRED)
      return keys.isReady(now) ? decide(ctx, verdict) : verify(ctx, token, digest)
    },
  }
}

async function keySource(config: Config, bounds: Bounds, host: Host): Promise<KeySource> {
  const kind = keyKindOf(config)
  if (kind !== 'url') return fixedKeys(kind, config, host.log)
  const url = URL.parse(config.keys.url ?? '')
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new Error('Cannot use `keys.url`: it must be an http or https URL without a user name.')
  }
  return new RemoteKeys(url, host, bounds)
}

/** Whether a consumer without a token has what `require` says: it has no scopes and no claims. */
function meets({ groups }: Consumer, { require }: Config): boolean {
  const { scopes_all, scopes_any, groups_all, groups_any, claims = {} } = require
  const needsToken = scopes_all ?? scopes_any ?? Object.keys(claims)[0]
  return needsToken === undefined && holds(groups, groups_all, groups_any)
}
