import type { CorpusGroup, CorpusRequest } from './exchange.ts'

const repeated = (count: number, request: CorpusRequest): CorpusRequest[] =>
  Array.from({ length: count }, () => request)

/** Windows so long that no run sees one end; what is left is compared, not when it comes back. */
const limit = { limit: 4, window: '24h' }

export const RATE_LIMIT: CorpusGroup = {
  routes: [
    { path: '/rate/ip/*', plugins: { 'rate-limit': { config: limit } } },
    { path: '/rate/tenant/*', plugins: { 'rate-limit': { config: { ...limit, key: 'header:X-Tenant' } } } },
    {
      path: '/rate/two/*',
      plugins: {
        'rate-limit': {
          config: {
            limits: [
              { name: 'all', limit: 5, window: '24h', key: ['route'] },
              { name: 'each', limit: 2, window: '12h', key: ['route', 'header:X-Tenant'] },
            ],
          },
        },
        cors: { config: { origins: ['https://app.example.com'] } },
      },
    },
  ],
  requests: [
    ...repeated(7, { url: '/rate/ip/a' }),
    ...['a', 'b'].flatMap((tenant) =>
      repeated(6, { url: '/rate/tenant/x', headers: { 'x-tenant': tenant } }),
    ),
    ...['a', 'b', 'c'].flatMap((tenant) =>
      repeated(3, { url: '/rate/two/x', headers: { 'x-tenant': tenant, origin: 'https://app.example.com' } }),
    ),
    // What is answered before the limit is counted by none.
    {
      method: 'OPTIONS',
      url: '/rate/two/x',
      headers: { origin: 'https://app.example.com', 'access-control-request-method': 'PUT' },
    },
  ],
}
