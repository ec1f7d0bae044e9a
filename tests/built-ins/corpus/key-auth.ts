import { createHash } from 'node:crypto'
import type { CorpusGroup } from './exchange.ts'

const KEYS = {
  mobile: 'ck_corpus-mobile-0123456789-abcdefghijklmnopqrs',
  old: 'ck_corpus-old-0123456789-abcdefghijklmnopqrstuv',
}

const hashOf = (key: string): string => `sha256:${createHash('sha256').update(key).digest('hex')}`

const consumers = {
  mobile: { groups: ['apps'], metadata: { plan: 'gold' }, keys: { current: { hash: hashOf(KEYS.mobile) } } },
  old: { groups: ['apps'], keys: { current: { hash: hashOf(KEYS.old), expires: '2020-01-31T00:00:00Z' } } },
}

const CREDENTIALS: Record<string, string>[] = [
  {},
  { 'x-api-key': KEYS.mobile },
  { 'x-api-key': KEYS.old },
  { 'x-api-key': 'wrong' },
  { 'x-api-key': '' },
  { 'x-api-key': `${KEYS.mobile},${KEYS.mobile}` },
  { authorization: `Bearer ${KEYS.mobile}` },
  { 'x-api-key': KEYS.mobile, 'x-consumer': 'admin' },
]

const config = { consumers, upstream_headers: { 'x-consumer': 'id', 'x-plan': 'metadata.plan' } }

/** With every kind of credential, alone, in the query, and behind what answers preflights and writes the log. */
export const KEY_AUTH: CorpusGroup = {
  routes: [
    { path: '/key/alone/*', plugins: { 'key-auth': { config } } },
    {
      path: '/key/all/*',
      plugins: {
        'key-auth': { config },
        cors: { config: { origins: ['https://app.example.com'] } },
        'access-log': { config: { format: 'json', file: 'json.log' } },
      },
    },
    { path: '/key/query/*', plugins: { 'key-auth': { config: { consumers, sources: [{ query: 'k' }] } } } },
  ],
  requests: [
    ...['', `k=${KEYS.mobile}`, `%6B=${KEYS.mobile}&k`].map((key) => ({
      url: `/key/query/things?${key}&q=%C4%E3&sig=a%20b&flag`,
    })),
    ...['alone', 'all'].flatMap((route) =>
      CREDENTIALS.flatMap((headers) => [
        { url: `/key/${route}/things`, headers },
        {
          url: `/key/${route}/things`,
          method: 'POST',
          body: 'a=b',
          headers: { ...headers, origin: 'https://app.example.com' },
        },
      ]),
    ),
    {
      method: 'OPTIONS',
      url: '/key/all/things',
      headers: { origin: 'https://app.example.com', 'access-control-request-method': 'PUT' },
    },
    { method: 'OPTIONS', url: '/key/all/things', headers: { origin: 'https://app.example.com' } },
  ],
}
