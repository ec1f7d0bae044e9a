import type { CorpusGroup } from './exchange.ts'

const QUERIES = [
  '',
  '?page=2',
  '?token=abc',
  '?access_token=abc&page=2',
  '?user[password]=x&%74oken=y',
  '?keyword=x&apiKey=y&token',
  '?a=%22%5c%0a&b=%e2%80%a8',
]

const FIELDS: Record<string, string>[] = [
  {},
  { 'user-agent': 'a "quoted" \\ agent', referer: 'https://app.example.com/?session=1' },
  { 'user-agent': 'caf\u00e9', authorization: 'Basic YTpi', cookie: 'sid=1' },
]

const plugins = (format: string, more = {}) => ({
  'access-log': { config: { format, file: `${format}.log`, ...more } },
})

/** The lines are compared too. */
export const ACCESS_LOG: CorpusGroup = {
  routes: [
    { path: '/log/json/*', plugins: plugins('json') },
    { path: '/log/combined/*', plugins: plugins('combined') },
    {
      path: '/log/template/*',
      plugins: plugins('template', {
        template:
          '{client_ip} {method} {url} {status} {request_header.authorization} {response_header.set-cookie}',
      }),
    },
    { path: '/log/dead/*', upstream: 'dead', plugins: plugins('common') },
  ],
  requests: [
    ...['json', 'combined', 'template'].flatMap((format) =>
      QUERIES.flatMap((query) => FIELDS.map((headers) => ({ url: `/log/${format}/x${query}`, headers }))),
    ),
    { url: '/log/json/upstream-own/cookies' },
    { url: '/log/template/upstream-own/cookies' },
    { url: '/log/combined/upstream-own/latin' },
    { url: '/log/json/upstream-status/503' },
    { method: 'POST', url: '/log/json/x', body: 'some content' },
    { method: 'HEAD', url: '/log/combined/x' },
    { url: '/log/dead/x' },
  ],
}

export const LOG_FILES = ['json.log', 'combined.log', 'template.log', 'common.log']
