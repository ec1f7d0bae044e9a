/**
 * How a path may look to servers less strict than the gateway: each step is what some server, framework or library does
 * before it compares paths, and any number of them may stand one behind the other.
 */
const STEPS: readonly ((path: string) => string)[] = [
  // Decodes once more, also what is not UTF-8.
  (path) =>
    path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  // Overlong UTF-8 for ASCII, of two, three and four octets (the decoding above has made octets of it).
  (path) => path.replace(/[\xc0\xc1][\x80-\xbf]/g, (two) => ascii(two.charCodeAt(0), two.charCodeAt(1))),
  (path) =>
    path.replace(/\xe0[\x80\x81][\x80-\xbf]/g, (three) => ascii(three.charCodeAt(1), three.charCodeAt(2))),
  (path) =>
    path.replace(/\xf0\x80[\x80\x81][\x80-\xbf]/g, (four) => ascii(four.charCodeAt(2), four.charCodeAt(3))),
  (path) => path.replaceAll('\\', '/'),
  (path) => path.replace(/\/{2,}/g, '/'),
  // Parameters of a segment, as servlet containers take them away.
  (path) => path.replace(/;[^/]*/g, ''),
  // Strings of C end at NUL.
  (path) => path.replace(/\0.*$/s, ''),
  resolveDotSegments,
]

const ascii = (lead: number, last: number): string => String.fromCharCode(((lead & 1) << 6) | (last & 0x3f))

function resolveDotSegments(path: string): string {
  const kept: string[] = []
  for (const segment of path.split('/').slice(1)) {
    if (segment === '..') kept.pop()
    else if (segment !== '.') kept.push(segment)
  }
  return `/${kept.join('/')}`
}

/** Every view of the path that any order of the steps can lead to, itself included. */
export function lenientViews(path: string): ReadonlySet<string> {
  const views = new Set([path])
  // A Set visits what is added while it is walked through: this ends when no step leads anywhere new.
  for (const view of views) for (const step of STEPS) views.add(step(view))
  return views
}
