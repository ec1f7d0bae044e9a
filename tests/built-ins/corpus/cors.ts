import type { CorpusGroup, CorpusRequest } from './exchange.ts'

const ORIGINS = [
  undefined,
  'https://app.example.com',
  'https://a.b.example.org',
  'https://pr-17.example.net',
  'http://localhost:5173',
  'https://evil.example',
  'https://app.example.com.evil.example',
  'null',
]

const ASKS: Omit<CorpusRequest, 'url'>[] = [
  {},
  { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } },
  { method: 'HEAD' },
  { method: 'OPTIONS' },
  { method: 'OPTIONS', headers: { 'access-control-request-method': 'PUT' } },
  {
    method: 'OPTIONS',
    headers: {
      'access-control-request-method': 'DELETE',
      'access-control-request-headers': 'x-a, authorization',
      'access-control-request-private-network': 'true',
    },
  },
]

const OWN = ['own/cors', 'own/vary', 'own/varies', 'status/404', 'status/204', 'status/304', 'status/500']

/** Every kind of origin with every kind of request, and what the upstream says of its own. */
export const CORS: CorpusGroup = {
  routes: [
    {
      path: '/cors/named/*',
      plugins: {
        cors: {
          config: {
            origins: ['https://app.example.com', 'https://*.example.org', 'http://localhost:*'],
            origin_patterns: ['^https://pr-[0-9]+\\.example\\.net$'],
            credentials: true,
            expose_headers: ['x-total'],
            private_network: true,
          },
        },
      },
    },
    { path: '/cors/any/*', plugins: { cors: { config: { origins: ['*'], headers: ['*'] } } } },
    {
      path: '/cors/broken/*',
      plugins: { cors: { config: { origins: ['https://app.example.com'] } }, broken: {} },
    },
    {
      path: '/cors/dead/*',
      upstream: 'dead',
      plugins: { cors: { config: { origins: ['https://app.example.com'] } } },
    },
  ],
  requests: [
    ...['named', 'any'].flatMap((route) =>
      ORIGINS.flatMap((origin) =>
        ASKS.map((ask) => from(origin, { ...ask, url: `/cors/${route}/things?page=2` })),
      ),
    ),
    ...OWN.flatMap((own) =>
      ['https://app.example.com', 'https://evil.example'].map((origin) =>
        from(origin, { url: `/cors/named/upstream-${own}` }),
      ),
    ),
    ...['broken', 'dead'].flatMap((route) =>
      [...ORIGINS.slice(0, 2), 'https://evil.example'].flatMap((origin) => [
        from(origin, { url: `/cors/${route}/throws` }),
        from(origin, { url: `/cors/${route}/throws-late` }),
        from(origin, { url: `/cors/${route}/answers` }),
      ]),
    ),
  ],
}

function from(origin: string | undefined, request: CorpusRequest): CorpusRequest {
  return origin === undefined ? request : { ...request, headers: { ...request.headers, origin } }
}
