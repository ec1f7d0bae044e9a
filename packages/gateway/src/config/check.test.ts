import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadText, problemOf, problemsOf } from './test-support.ts'

/** What stands around a line under test. */
const UPSTREAMS = 'upstreams: { api: { targets: ["http://127.0.0.1:3000"] } }\n'
const route = (more: string) => `${UPSTREAMS}routes:\n  - { name: a, upstream: api, ${more} }\n`

interface Expectation {
  readonly key: string
  readonly given: string
  readonly expected: RegExp
  readonly nearest?: string
  readonly at: readonly [line: number, column: number]
}

const SIZE = /^a size with its unit/
const DURATION = /^a duration with its unit/

const CASES: readonly [what: string, text: string, wanted: Expectation][] = [
  [
    'an unknown key',
    'listn: []',
    { key: 'listn', given: '[]', expected: /^one of \$schema, listen, /, nearest: 'listen', at: [1, 1] },
  ],
  [
    'a key in camelCase',
    'limits: { headBytes: 1KiB }',
    { key: 'limits.headBytes', given: '"1KiB"', expected: /head_bytes/, nearest: 'head_bytes', at: [1, 11] },
  ],
  [
    'an unknown key without a likeness',
    'log: { colour: 1 }',
    { key: 'log.colour', given: '1', expected: /^one of level, format$/, at: [1, 8] },
  ],
  [
    'a missing key',
    `${UPSTREAMS}routes:\n  - upstream: api\n`,
    { key: 'routes[0].name', given: '', expected: /^letters, digits/, at: [3, 5] },
  ],
  [
    'a bad type',
    'listen: [{ port: http }]',
    { key: 'listen[0].port', given: '"http"', expected: /^a whole number from 0 to 65535$/, at: [1, 18] },
  ],
  [
    'a string for a number',
    'listen: [{ port: "80" }]',
    { key: 'listen[0].port', given: '"80"', expected: /^a whole number/, at: [1, 18] },
  ],
  [
    'a number out of range',
    'listen: [{ port: 65536 }]',
    { key: 'listen[0].port', given: '65536', expected: /to 65535/, at: [1, 18] },
  ],
  ['no listener', 'listen: []', { key: 'listen', given: '[]', expected: /^at least 1 item$/, at: [1, 9] }],
  [
    'a section that is null',
    'limits:',
    { key: 'limits', given: 'null', expected: /^an object$/, at: [1, 8] },
  ],
  ['a list for the whole', '- a', { key: '', given: '["a"]', expected: /^an object$/, at: [1, 1] }],
  [
    'a bare number for a size',
    'limits: { head_bytes: 4096 }',
    { key: 'limits.head_bytes', given: '4096', expected: SIZE, at: [1, 23] },
  ],
  [
    'a bare number where 0 is allowed',
    'limits: { request_body_bytes: 10 }',
    { key: 'limits.request_body_bytes', given: '10', expected: SIZE, at: [1, 31] },
  ],
  [
    '0 where it would mean no head',
    'limits: { head_bytes: 0 }',
    { key: 'limits.head_bytes', given: '0', expected: /at least "256B"/, at: [1, 23] },
  ],
  [
    'a size below the least',
    'limits: { head_bytes: 255B }',
    { key: 'limits.head_bytes', given: '"255B"', expected: /at least "256B"/, at: [1, 23] },
  ],
  [
    'a duration without a unit',
    'timeouts: { head: "5" }',
    { key: 'timeouts.head', given: '"5"', expected: DURATION, at: [1, 19] },
  ],
  [
    'a duration of another grammar',
    'timeouts: { head: 5 minutes }',
    { key: 'timeouts.head', given: '"5 minutes"', expected: DURATION, at: [1, 19] },
  ],
  [
    'a value out of a list',
    'log: { level: inof }',
    { key: 'log.level', given: '"inof"', expected: /^"trace", "debug", /, nearest: 'info', at: [1, 15] },
  ],
  [
    'a value of neither form',
    'workers: 65',
    { key: 'workers', given: '65', expected: /^a whole number from 1 to 64$/, at: [1, 10] },
  ],
  [
    'a misspelt word of two forms',
    'workers: autp',
    { key: 'workers', given: '"autp"', expected: /^"auto" or a whole number/, nearest: 'auto', at: [1, 10] },
  ],
  [
    'a misspelt false',
    'plugins: { cors: flase }',
    {
      key: 'plugins.cors',
      given: '"flase"',
      expected: /^false or an object$/,
      nearest: 'false',
      at: [1, 18],
    },
  ],
  [
    'true for a plugin',
    'plugins: { cors: true }',
    { key: 'plugins.cors', given: 'true', expected: /^false or an object$/, at: [1, 18] },
  ],
  [
    'nothing for a plugin',
    'plugins:\n  cors:\n',
    { key: 'plugins.cors', given: 'null', expected: /^false or an object$/, at: [2, 8] },
  ],
  [
    'plugin config outside of `config`',
    'plugins: { cors: { origins: [] } }',
    { key: 'plugins.cors.origins', given: '[]', expected: /^one of plugin, config, /, at: [1, 20] },
  ],
  [
    'an overridden category',
    'plugins: { cors: { category: cache } }',
    { key: 'plugins.cors.category', given: '"cache"', expected: /^one of plugin, /, at: [1, 20] },
  ],
  [
    'a bad plugin name',
    'plugins: { Cors: {} }',
    { key: 'plugins.Cors', given: '"Cors"', expected: /^a kebab-case name/, at: [1, 12] },
  ],
  [
    'a misspelt on_failure',
    'plugins: { cors: { on_failure: opne } }',
    {
      key: 'plugins.cors.on_failure',
      given: '"opne"',
      expected: /^"closed" or "open" or an object/,
      nearest: 'open',
      at: [1, 32],
    },
  ],
  [
    'a fallback with a bad status',
    'plugins: { cors: { on_failure: { fallback: { status: 99 } } } }',
    { key: 'plugins.cors.on_failure.fallback.status', given: '99', expected: /from 200 to 599/, at: [1, 54] },
  ],
  [
    'a method in small letters',
    route('methods: [get]'),
    { key: 'routes[0].methods[0]', given: '"get"', expected: /^a method in capitals/, at: [3, 41] },
  ],
  [
    'a header that is false',
    route('headers: { x-a: false }'),
    { key: 'routes[0].headers.x-a', given: 'false', expected: / or true$/, at: [3, 47] },
  ],
  [
    'a line break in a field value',
    'plugins: { a: { on_failure: { fallback: { headers: { x: "a\\r\\nb: c" } } } } }',
    {
      key: 'plugins.a.on_failure.fallback.headers.x',
      given: '"a\\r\\nb: c"',
      expected: /no control characters/,
      at: [1, 57],
    },
  ],
  [
    'a redirect status that is none',
    'routes: [{ name: a, redirect: { to: /, status: 200 } }]',
    { key: 'routes[0].redirect.status', given: '200', expected: /^301, 302, 303, 307 or 308$/, at: [1, 48] },
  ],
  [
    'one thing twice in a list',
    route('allow_in_path: [empty_segment, empty_segment]'),
    {
      key: 'routes[0].allow_in_path',
      given: '["empty_segment","empty_segment"]',
      expected: /^items that all differ$/,
      at: [3, 46],
    },
  ],
  [
    'a path for a certificate',
    'upstreams: { a: { targets: ["https://a"], tls: { ca: /etc/ca.pem } } }',
    { key: 'upstreams.a.tls.ca', given: '"/etc/ca.pem"', expected: /PEM/, at: [1, 54] },
  ],
]

for (const [what, text, wanted] of CASES) {
  test(`loadConfigFile() reports ${what}`, async () => {
    const problem = await problemOf(text)
    assert.equal(problem.code, 'CONFIG_INVALID')
    assert.equal(problem.file, '/etc/cardea.yaml')
    assert.deepEqual([problem.key, problem.given], [wanted.key, wanted.given])
    assert.match(problem.expected, wanted.expected)
    assert.equal(problem.nearest, wanted.nearest ?? null)
    assert.deepEqual([problem.line, problem.column], wanted.at)
    assert.match(problem.message, /\.$|\?$/)
  })
}

test('loadConfigFile() reports all problems at once, in the order of the file', async () => {
  const problems = await problemsOf(
    'listen: [{ port: x }, { prt: 1 }]\nworkers: 0\nlog: { level: loud, format: xml }\n',
  )
  assert.deepEqual(
    problems.map(({ key }) => key),
    ['listen[0].port', 'listen[1].prt', 'workers', 'log.level', 'log.format'],
  )
})

test('loadConfigFile() counts what comes after the first thousand problems', async () => {
  const lines = Array.from(
    { length: 1_205 },
    (_, index) => `  - { name: r${index}, path: /${index}, respond: {}, respnd: {} }\n`,
  )
  const problems = await problemsOf(`routes:\n${lines.join('')}`)
  const last = problems.at(-1)
  assert.equal(problems.length, 1_001)
  assert.match(problems[999]?.message ?? '', /^"routes\[999\]\.respnd" is not a known key/)
  assert.deepEqual([last?.line, last?.message], [1_002, '205 more problems are not listed.'])
})

test('loadConfigFile() shortens a long value', async () => {
  const problem = await problemOf(`log: { level: "${'x'.repeat(500)}" }`)
  assert.equal(problem.given.length, 60)
})

test('loadConfigFile() coerces variables by what their key wants, and nothing else', async () => {
  const env = { PORT: '8081', OFF: 'false', VERIFY: 'true', STATUS: '308', WORKERS: '3', NAME: '123' }
  const { value } = await loadText(
    [
      'listen: [{ port: "${PORT}" }]',
      'workers: ${WORKERS}',
      'upstreams: { a: { targets: ["https://a:${PORT}"], tls: { verify: "${VERIFY}" } } }',
      'routes:',
      '  - { name: "${NAME}", upstream: a, plugins: { cors: "${OFF}" } }',
      '  - { name: b, path: /b, redirect: { to: /c, status: "${STATUS}" } }',
    ].join('\n'),
    { env },
  )
  assert.equal(value.listen[0]?.port, 8081)
  assert.equal(value.workers, 3)
  assert.equal(value.upstreams.a?.tls?.verify, true)
  assert.deepEqual(value.routes[0]?.plugins, { cors: false })
  assert.equal(value.routes[0]?.name, '123')
  assert.equal(value.routes[1]?.redirect?.status, 308)
})

test('loadConfigFile() refuses a variable that is not what its key wants, and shows the variable', async () => {
  const problem = await problemOf('listen: [{ port: "${PORT}" }]', { env: { PORT: '80 80' } })
  assert.equal(problem.given, '"${PORT}"')
  assert.match(problem.expected, /^a whole number/)
})

test('loadConfigFile() reports a variable without a value once, at its place', async () => {
  const problem = await problemOf('listen:\n  - port: "${PORT}"\n')
  assert.equal(problem.code, 'CONFIG_VARIABLE_MISSING')
  assert.deepEqual([problem.line, problem.column, problem.key], [2, 11, 'listen[0].port'])
})
