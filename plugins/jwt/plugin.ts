import {
  AMBIGUOUS,
  type Consumer,
  type Context,
  consumerOf,
  credentialReader,
  defineConsumer,
  type Host,
  type Middleware,
  setConsumer,
  trustedFields,
} from '@cardea/sdk'
import { holds } from './claims.ts'
import { type Bounds, boundsOf, type Config, keyKindOf } from './config.ts'
import { fixedKeys, type KeySource } from './key-source.ts'
import {
  type Refusal,
  refuser,
  SCOPE_REQUIRED,
  TOKEN_AMBIGUOUS,
  TOKEN_EXPIRED,
  TOKEN_INVALID,
  TOKEN_MISSING,
} from './refusals.ts'
import { RemoteKeys } from './remote-keys.ts'
import { TokenCache } from './token-cache.ts'
import { type Admission, Verifier } from './verifier.ts'

export async function PluginMain(config: Config, host: Host): Promise<Middleware<Config>> {
  const bounds = boundsOf(config)
  const keys = await keySource(config, bounds, host)
  const verifier = new Verifier(config, bounds, keys)
  const known = new TokenCache<Admission>(config.cache.tokens_max)
  const reader = credentialReader(config.sources)
  const refuse = refuser(config)
  const fields = trustedFields(Object.keys(config.upstream_headers))
  const nothingToTell = Object.keys(config.upstream_headers).map(() => null)
  const anonymous =
    config.anonymous === undefined
      ? null
      : defineConsumer({ ...config.anonymous, anonymous: true, method: 'jwt' })

  const admit = (ctx: Context, { consumer, refusal, fieldValues }: Admission): boolean => {
    if (refusal !== null) return refuse(ctx, refusal)
    if (config.remove_token) reader.remove(ctx.request)
    fields.replace(ctx.request.headers, fieldValues)
    setConsumer(ctx, consumer)
    return true
  }

  const verify = async (ctx: Context, token: string, digest: string): Promise<boolean> => {
    const outcome = await verifier.verify(token)
    if (!outcome.ok) {
      known.delete(digest)
      return refuse(ctx, outcome.refusal)
    }
    known.set(digest, outcome.admission)
    return admit(ctx, outcome.admission)
  }

  const withoutToken = (ctx: Context): boolean => {
    if (anonymous === null) return refuse(ctx, TOKEN_MISSING)
    // Who proved who it is to a plugin before this one stays that.
    const consumer = consumerOf(ctx) ?? anonymous
    const refusal = refusalOf(consumer, config)
    if (refusal !== null) return refuse(ctx, refusal)
    fields.replace(ctx.request.headers, nothingToTell)
    setConsumer(ctx, consumer)
    return true
  }

  return {
    name: 'jwt',
    /** Without a promise for a token that is known: most are, and nobody waits for what nothing is asked for. */
    handle(ctx) {
      const token = reader.read(ctx.request)
      if (token === AMBIGUOUS) return refuse(ctx, TOKEN_AMBIGUOUS)
      if (token === null) return withoutToken(ctx)
      if (token === '' || token.length > bounds.tokenBytesMax) return refuse(ctx, TOKEN_INVALID)
      const now = Date.now()
      // Tokens are not kept, only what tells whether one is the same: who reads our memory shall find no way in.
      const digest = host.hash('sha256', token, 'base64url')
      const admission = known.get(digest)
      if (admission === undefined || !admission.key.isLive || now >= admission.recheckAt) {
        return verify(ctx, token, digest)
      }
      if (now >= admission.endsAt) return refuse(ctx, TOKEN_EXPIRED)
      return keys.isReady(now) ? admit(ctx, admission) : verify(ctx, token, digest)
    },
  }
}

async function keySource(config: Config, bounds: Bounds, host: Host): Promise<KeySource> {
  const kind = keyKindOf(config)
  if (kind !== 'url') return fixedKeys(kind, config)
  const url = URL.parse(config.keys.url ?? '')
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new Error('Cannot use `keys.url`: it must be an http or https URL without a user name.')
  }
  return new RemoteKeys(url, host, bounds)
}

/** What `require` has against a consumer without a token: it has no scopes and no claims. */
function refusalOf({ groups }: Consumer, { require }: Config): Refusal | null {
  const { scopes_all, scopes_any, groups_all, groups_any, claims = {} } = require
  const needsToken = scopes_all ?? scopes_any ?? Object.keys(claims)[0]
  return needsToken === undefined && holds(groups, groups_all, groups_any) ? null : SCOPE_REQUIRED
}
