import { domainToASCII } from 'node:url'

/**
 * What a Host field may mean to servers less strict than the gateway: each step is what some server, framework or library
 * does before it compares hosts, and any number of them may stand one behind the other.
 */
const STEPS: readonly ((host: string) => string)[] = [
  (host) =>
    host.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  (host) => host.toLowerCase(),
  // As part of a URL, which is how WHATWG's parsers and all that is built on them read it.
  (host) => URL.parse(`http://${host}/`)?.host ?? host,
  (host) => URL.parse(`http://${utf8(host)}/`)?.host ?? host,
  // Of the http scheme it is the port that stands for none; other schemes keep it.
  (host) => host.replace(/:0*80$/, ''),
  (host) => host.replace(/:0+(?=\d)/, ':'),
  (host) => host.replace(/:$/, ''),
  (host) => host.replace(/^.*@/s, ''),
  (host) => host.replace(/^[a-z]*:?\/\//i, ''),
  (host) => host.replace(/[\s\xa0]+/g, ''),
  // Strings end at NUL, names at what cannot stand in them.
  (host) => host.replace(/[\0\s\xa0,/\\?#].*$/s, ''),
  (host) => host.replace(/^.*,/s, ''),
  (host) => host.replace(/\.+$/, ''),
  (host) => host.replace(/\.+(?=:\d*$)/, ''),
  (host) => host.replace(/^\.+/, ''),
  (host) => host.replace(/\.{2,}/g, '.'),
  (host) => domainToASCII(utf8(host)) || host,
]

/** The characters stand for bytes. */
const utf8 = (host: string): string => Buffer.from(host, 'latin1').toString('utf8')

/** Every view of the host that any order of the steps can lead to, itself included. */
export function lenientViews(host: string): ReadonlySet<string> {
  const views = new Set([host])
  // A Set visits what is added while it is walked through: this ends when no step leads anywhere new.
  for (const view of views) for (const step of STEPS) views.add(step(view))
  return views
}
