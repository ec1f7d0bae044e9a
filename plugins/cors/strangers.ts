import type { Pattern } from './pattern.ts'

/**
 * Hosts that nobody means who names a domain: of two labels and more, of letters alone and with others, and addresses that
 * documents are written with (RFC 5737, RFC 3849). Not of one label: those are of one's own network, and nobody else can have one.
 */
const HOSTS: readonly string[] = ['xqzjvk', 'xq-7'].flatMap((label) =>
  ['invalid', 'com', 'org', 'net', 'io', 'dev', 'app', 'co.uk'].flatMap((domain) =>
    [label, `a.${label}`, `a.b.${label}`].map((name) => `${name}.${domain}`),
  ),
)
const ADDRESSES: readonly string[] = ['203.0.113.7', '[2001:db8::7]']
const PORTS: readonly string[] = ['80', '443', '3000', '5173', '8000', '8080', '8443']
/** Numbers of a pattern that are tried as a port, which they may be. */
const OWN_PORTS_MAX = 16

/**
 * Throws an Error on a pattern that lets in a host that nobody named: it is `*` by another name, or nearly. What it lets in
 * cannot be listed, so it is asked for some that it should not.
 */
export function refuseStrangers(patterns: readonly Pattern[]): void {
  for (const { text, matches } of patterns) {
    const stranger = strangersFor(text).find(matches)
    if (stranger === undefined) continue
    throw new Error(
      `"credentials" is true and the pattern ${JSON.stringify(text)} of "origin_patterns" lets in hosts that nobody ` +
        `named, such as ${stranger}, which credentials never go with: name a domain in it`,
    )
  }
}

function strangersFor(pattern: string): readonly string[] {
  const own = [...new Set(pattern.match(/[0-9]{1,5}/g))].slice(0, OWN_PORTS_MAX)
  const ends = ['', ...[...PORTS, ...own].map((port) => `:${port}`)]
  return [...HOSTS, ...ADDRESSES].flatMap((host) =>
    ['https', 'http'].flatMap((scheme) => ends.map((end) => `${scheme}://${host}${end}`)),
  )
}
