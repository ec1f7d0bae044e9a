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
    [{ origin_patterns: ['https://a\\.com$'] }, /does not begin with "\^"/],
    [{ origin_patterns: ['^https://a\\.com'] }, /does not end with "\$"/],
    [{ origin_patterns: ['^https://a\\.com\\$'] }, /does not end with "\$"/],
    [{ origin_patterns: ['^https://a\\.com|https://b\\.com$'] }, /"\|" outside of a group/],
    [{ origin_patterns: ['^https://app.example\\.com$'] }, /"\." that stands for any character/],
    [{ origin_patterns: ['^https://(?=a)\\.com$'] }, /looks around/],
    [{ origin_patterns: ['^https://(?<a>b)\\.com$'] }, /looks around or has a name/],
    [{ origin_patterns: ['^https://(a)\\1\\.com$'] }, /has "\\1"; the escapes are/],
    [{ origin_patterns: ['^https://\\bа\\.com$'] }, /has "\\b"/],
    [{ origin_patterns: ['^https://(a$'] }, /"\(" that is never closed/],
    [{ origin_patterns: ['^https://a)$'] }, /"\)" that closes nothing/],
    [{ origin_patterns: ['^https://[a-z$'] }, /"\[" that is never closed/],
    [{ origin_patterns: ['^https://[]$'] }, /empty class/],
    [{ origin_patterns: ['^https://[z-a]$'] }, /range "z-a", which is none/],
    [{ origin_patterns: ['^*$'] }, /"\*" that repeats nothing/],
    [{ origin_patterns: ['^a++$'] }, /repeats a repeat/],
    [{ origin_patterns: ['^a{3,2}$'] }, /from less to more/],
    [{ origin_patterns: ['^((a{200}){200}){200}$'] }, /is too large/],
    [{ origin_patterns: ['^a$b$'] }, /has a "\$" inside/],
    [{ origins: [APP], methods: ['GET POST'] }, /methods/],
    [{ origins: [APP], max_age: 600 }, /max_age/],
  ]
  for (const [config, why] of refusals) {
    test(`${JSON.stringify(config)}`, () =>
      assert.rejects(testGateway({ plugins: [pluginFolder(import.meta.dirname, config)] }), why))
  }
})
