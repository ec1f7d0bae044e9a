import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pluginFolder, testGateway } from '@cardea/sdk/testing'

type Config = Readonly<Record<string, unknown>>

const APP = 'https://app.example.com'

describe('a config is refused', () => {
  const refusals: [config: Config, why: RegExp][] = [
    [{}, /it names no origin: set "origins", or "origin_patterns"/],
    [
      { origins: ['*'], credentials: true },
      /"credentials" is true and "origins" holds "\*", which credentials never go with/,
    ],
    [{ origins: [APP], credentials: true, headers: ['*'] }, /"headers" holds "\*"/],
    [{ origins: [APP], credentials: true, methods: ['*'] }, /"methods" holds "\*"/],
    [{ origins: [APP], credentials: true, expose_headers: ['*'] }, /"expose_headers" holds "\*"/],
    [
      { origin_patterns: ['^https://a\\.example\\.com$', '^https://.*$'], credentials: true },
      /pattern "\^https:\/\/\.\*\$" of "origin_patterns" lets in hosts that nobody named, such as https:\/\/xqzjvk\.invalid,/,
    ],
    ...[
      '^https://.*$',
      '^https?://[a-z0-9.-]+(:[0-9]+)?$',
      '^https://.+:[0-9]+$',
      '^https://[a-z0-9-]+\\.[a-z]+$',
      '^https://[a-z0-9-]+\\.[a-z0-9-]+\\.[a-z]+$',
      '^http://[a-z]+\\.[a-z]+\\.[a-z]+\\.[a-z]+$',
      '^https://[a-z]+-[0-9]+\\.[a-z]+$',
      '^https://.*:3000$',
      '^https://[a-z.]+:(4711|4712)$',
      '^https://.*\\.com$',
      '^https://.*\\.co\\.uk$',
      '^http://[0-9.]+:8080$',
    ].map((pattern): [Config, RegExp] => [
      { origin_patterns: [pattern], credentials: true },
      /lets in hosts that nobody named, such as https?:\/\/\S+, which credentials never go with: name a domain in it/,
    ]),
    [{ origins: ['*', APP] }, /"\*", which is everyone, and others besides/],
    [
      { origins: ['https://App.example.com/'] },
      /no origin as browsers send it; write "https:\/\/app\.example\.com"/,
    ],
    [{ origins: ['https://app.example.com:443'] }, /write "https:\/\/app\.example\.com"/],
    [{ origins: ['app.example.com'] }, /no origin as browsers send it; write it as https:\/\/app/],
    [{ origins: ['null'] }, /"null", which every sandboxed page/],
    [{ origins: ['https://*'] }, /no wildcard; write https:\/\/\*\.example\.com/],
    [{ origins: ['https://app-*.example.com'] }, /no wildcard/],
    [{ origins: ['https://*.*.com'] }, /no wildcard/],
    [{ origins: ['https://*.com'] }, /every host below "\.com"; name a domain/],
    [{ origins: ['*.example.com'] }, /no wildcard/],
    [{ origins: ['http://[::0001]:*'] }, /no wildcard; write .* or http:\/\/\[::1\]:\* for any port/],
    [{ origins: ['http://*.[::1]'] }, /every host below/],
    [{ origin_patterns: ['https://a\\.com$'] }, /does not begin with "\^"/],
    [{ origin_patterns: ['^https://a\\.com'] }, /does not end with "\$"/],
    [{ origin_patterns: ['^https://a\\.com\\$'] }, /does not end with "\$"/],
    [{ origin_patterns: ['^https://a\\.com|https://b\\.com$'] }, /"\|" outside of a group/],
    [{ origin_patterns: ['^https://app.example\\.com$'] }, /"\." that stands for any character/],
    [{ origin_patterns: ['^https://(?=a)\\.com$'] }, /invalid or unsupported Perl syntax: `\(\?=`/],
    [{ origin_patterns: ['^https://(a)\\1\\.com$'] }, /invalid escape sequence: `\\1`/],
    [{ origin_patterns: ['^https://(a$'] }, /missing closing \)/],
    [{ origin_patterns: ['^https://a)$'] }, /unexpected \)/],
    [{ origin_patterns: ['^https://[a-z$'] }, /missing closing \]|does not end with/],
    [{ origin_patterns: ['^https://[]$'] }, /missing closing \]|does not end with/],
    [{ origin_patterns: ['^https://[z-a]$'] }, /invalid character class range: `z-a`/],
    [{ origin_patterns: ['^(*)$'] }, /missing argument to repetition operator/],
    [{ origin_patterns: ['^a++$'] }, /invalid nested repetition operator/],
    [{ origin_patterns: ['^a{3,2}$'] }, /invalid repeat count/],
    [{ origin_patterns: ['^((a{200}){200}){200}$'] }, /invalid repeat count/],
    [{ origin_patterns: ['^https://[^]]|.+[]$'] }, /"\|" outside of a group/],
    [{ origin_patterns: ['^https://[a.]|.+$'] }, /"\|" outside of a group/],
    [{ origin_patterns: ['^https://a\\.com^$'] }, /has a "\^" inside/],
    [{ origin_patterns: ['^a$b$'] }, /has a "\$" inside/],
    [{ origins: [APP], methods: ['GET POST'] }, /methods/],
    [{ origins: [APP], max_age: 600 }, /max_age/],
  ]
  for (const [config, why] of refusals) {
    test(`${JSON.stringify(config)}`, () =>
      assert.rejects(testGateway({ plugins: [pluginFolder(import.meta.dirname, config)] }), why))
  }
})

test('a pattern may match every host where no credentials come along, and one domain where they do', async () => {
  const configs = [
    { origin_patterns: ['^https://.*$'] },
    { origin_patterns: ['^https://.*\\.example\\.com$'], credentials: true },
    // Hosts of one label are of one's own network.
    { origins: ['https://a.example.com'], origin_patterns: ['^http://[a-z0-9-]+:3000$'], credentials: true },
    {
      origins: ['https://xqzjvk.invalid', 'https://anyone.invalid'],
      origin_patterns: ['^https?://[a-z0-9.-]+\\.example\\.com(:[0-9]+)?$', '^http://localhost:[0-9]+$'],
      credentials: true,
    },
  ]
  for (const config of configs) {
    await using gateway = await testGateway({ plugins: [pluginFolder(import.meta.dirname, config)] })
    const { headers } = await gateway.fetch('/', { headers: { origin: 'https://a.example.com' } })
    assert.equal(headers.get('access-control-allow-origin'), 'https://a.example.com')
  }
})
