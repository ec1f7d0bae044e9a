import { createHash, createHmac } from 'node:crypto'
import { type Consumer, consumerOf } from '@cardea/sdk'
import {
  pluginFolder,
  type TestGateway,
  type TestPlugin,
  type TestRequestInit,
  testGateway,
} from '@cardea/sdk/testing'

/** What the tests of this folder have in common. */

export const KEY = 'ck_TmV2ZXIgdXNlIHRoaXMga2V5IGFueXdoZXJlIGVsc2U'
export const OTHER_KEY = 'ck_QW5vdGhlciBrZXkgdGhhdCBpcyBmb3IgdGVzdHMgb25s'
export const PEPPER = 'a pepper for tests'

export const sha256 = (key: string): string => `sha256:${createHash('sha256').update(key).digest('hex')}`
export const hmac = (key: string): string =>
  `hmac-sha256:${createHmac('sha256', PEPPER).update(key).digest('hex')}`

export const MOBILE = {
  consumers: {
    mobile: { groups: ['apps'], metadata: { plan: 'gold' }, keys: { first: { hash: sha256(KEY) } } },
  },
}

/** Notes who came through. */
export function witness(seen: (Consumer | null)[]): TestPlugin {
  return {
    manifest: { name: 'witness', category: 'custom' },
    main: () => ({ name: 'witness', handle: (ctx) => seen.push(consumerOf(ctx)) > 0 }),
  }
}

export interface Bench extends AsyncDisposable {
  readonly gateway: TestGateway
  readonly seen: (Consumer | null)[]
  ask(headers?: TestRequestInit['headers'], url?: string): Promise<Answer>
}

export interface Answer {
  readonly status: number
  readonly code: unknown
  readonly challenge: string | null
}

export async function bench(
  config: Readonly<Record<string, unknown>>,
  others: readonly TestPlugin[] = [],
): Promise<Bench> {
  const seen: (Consumer | null)[] = []
  const gateway = await testGateway({
    plugins: [...others, pluginFolder(import.meta.dirname, config), witness(seen)],
    upstream: () => ({ status: 200, body: '{"code":"let in"}' }),
  })
  return {
    gateway,
    seen,
    async ask(headers = {}, url = '/') {
      const response = await gateway.fetch(url, { headers })
      const body = (await response.json()) as { code?: unknown }
      const { status } = response
      return { status, code: body.code, challenge: response.headers.get('www-authenticate') }
    },
    [Symbol.asyncDispose]: () => gateway.close(),
  }
}

export const LET_IN: Answer = { status: 200, code: 'let in', challenge: null }
export const CHALLENGE = 'ApiKey realm="api", in="header", name="x-api-key"'
