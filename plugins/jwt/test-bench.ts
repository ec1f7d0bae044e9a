import assert from 'node:assert/strict'
import { type Consumer, consumerOf } from '@cardea/sdk'
import {
  pluginFolder,
  type TestGateway,
  type TestPlugin,
  type TestPluginFolder,
  type TestRequestInit,
  testGateway,
} from '@cardea/sdk/testing'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'

/** What the tests of this folder have in common. */

/** Who signs tokens: a key pair with a name. */
export interface Signer {
  readonly alg: string
  readonly kid: string
  readonly jwk: JWK
  readonly privateKey: CryptoKey
  /** A token for `anna` that lasts an hour, but for what `claims` and `header` say; undefined takes away. */
  sign(
    claims?: Readonly<Record<string, unknown>>,
    header?: Readonly<Record<string, unknown>>,
  ): Promise<string>
}

export async function signer(alg: string, kid = alg): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid }
  return {
    alg,
    kid,
    jwk,
    privateKey,
    sign: (claims, header) =>
      new SignJWT(claimsOf(claims)).setProtectedHeader({ alg, kid, ...header }).sign(privateKey),
  }
}

export function claimsOf(claims: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const all = { sub: 'anna', exp: Math.floor(Date.now() / 1_000) + 3_600, ...claims }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

/** A token of these parts, which need not be what a signer would write. */
export function tokenOf(header: unknown, claims: unknown, signature: string): string {
  const part = (value: unknown): string =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}.${signature}`
}

export function jwks(...signers: readonly Pick<Signer, 'jwk'>[]): string {
  return JSON.stringify({ keys: signers.map(({ jwk }) => jwk) })
}

export interface Answer {
  readonly status: number
  readonly code: unknown
}

export const LET_IN: Answer = { status: 200, code: 'let in' }
export const INVALID: Answer = { status: 401, code: 'TOKEN_INVALID' }
export const EXPIRED: Answer = { status: 401, code: 'TOKEN_EXPIRED' }
export const MISSING: Answer = { status: 401, code: 'TOKEN_MISSING' }
export const UNAVAILABLE: Answer = { status: 503, code: 'KEYS_UNAVAILABLE' }
export const FORBIDDEN: Answer = { status: 403, code: 'SCOPE_REQUIRED' }

export interface Bench extends AsyncDisposable {
  readonly gateway: TestGateway
  /** Who came through. */
  readonly seen: (Consumer | null)[]
  /** Asks with a token in Authorization; null: without. */
  ask(token: string | null, headers?: Readonly<Record<string, string>>): Promise<Answer>
  /** Asks with a token that is not to get to the upstream. */
  refuses(token: string, answer?: Answer): Promise<void>
}

export interface BenchOptions {
  readonly others?: readonly (TestPlugin | TestPluginFolder)[]
  readonly routes?: readonly Readonly<Record<string, unknown>>[]
  fetch?(request: Request): Response | Promise<Response>
}

export async function bench(
  config: Readonly<Record<string, unknown>>,
  { others = [], routes, fetch }: BenchOptions = {},
): Promise<Bench> {
  const seen: (Consumer | null)[] = []
  const witness: TestPlugin = {
    manifest: { name: 'witness', category: 'custom' },
    main: () => ({ name: 'witness', handle: (ctx) => seen.push(consumerOf(ctx)) > 0 }),
  }
  const gateway = await testGateway({
    plugins: [...others, pluginFolder(import.meta.dirname, config), witness],
    upstream: () => ({ status: 200, body: '{"code":"let in"}' }),
    ...(routes === undefined ? {} : { routes }),
    ...(fetch === undefined ? {} : { fetch }),
  })
  const ask = async (token: string | null, headers: TestRequestInit['headers'] = {}): Promise<Answer> => {
    const authorization = token === null ? {} : { authorization: `Bearer ${token}` }
    const response = await gateway.fetch('/', { headers: { ...authorization, ...headers } })
    const { code } = (await response.json()) as { code?: unknown }
    return { status: response.status, code }
  }
  return {
    gateway,
    seen,
    ask,
    async refuses(token, answer = INVALID) {
      const before = gateway.upstreamRequests.length
      assert.deepEqual(await ask(token), answer)
      assert.equal(gateway.upstreamRequests.length, before)
    },
    [Symbol.asyncDispose]: () => gateway.close(),
  }
}
