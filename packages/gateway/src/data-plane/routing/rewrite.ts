import { GatewayError } from '../../base/errors.ts'
import { LITERAL_ORIGIN } from '../../config/literal-origin.ts'
import type { RoutePlan } from '../../protocol/generation.ts'
import { decodeSegment, foldReservedEscapes, normalizePath, PathFindings, withoutParameters } from './path.ts'
import { encodeNonAscii, parsePathPattern } from './pattern.ts'

/** What a match provides to templates: text as it stands in the normalised path, so it holds no octet out of place. */
export interface TemplateValues {
  readonly rawParams: Readonly<Record<string, string>>
  readonly rest: string
}

export interface Rewriter {
  /**
   * The path that the upstream gets: normalised, starting with `/`. '' when no valid path comes of it, which the caller
   * answers as a malformed path.
   */
  apply(path: string, values: TemplateValues): string
}

/** Compiles `strip_prefix` or `rewrite`; null when the route has neither. Throws `CONFIG_INVALID`. */
export function compileRewrite(route: RoutePlan): Rewriter | null {
  if (route.rewrite !== '' && route.stripPrefix !== '') {
    throw invalid(
      route,
      `has both strip_prefix and rewrite; "rewrite: ${route.rewrite}" alone sets the whole path.`,
    )
  }
  if (route.rewrite !== '') return new PathTemplate(route)
  return route.stripPrefix === '' ? null : new PrefixStripper(route)
}

/** Compiles the location of a redirect; null for other routes. Throws `CONFIG_INVALID`. */
export function compileLocation(route: RoutePlan): LocationTemplate | null {
  return route.action.kind === 'redirect' ? new LocationTemplate(route, route.action.location) : null
}

function invalid(route: RoutePlan, what: string): GatewayError {
  return new GatewayError('CONFIG_INVALID', `Route "${route.name}" ${what}`)
}

class PrefixStripper implements Rewriter {
  /** Folded, as the router compares. */
  readonly #prefix: string
  readonly #segmentCount: number

  constructor(route: RoutePlan) {
    const findings = new PathFindings()
    const text = encodeNonAscii(route.stripPrefix)
    const normal = normalizePath(text, findings)
    if (normal === '' || normal === '/' || normal.includes('*')) {
      const why = findings.fault === '' ? 'Write a path such as "/api".' : findings.fault
      throw invalid(route, `has strip_prefix "${route.stripPrefix}", which is not a prefix. ${why}`)
    }
    this.#prefix = foldReservedEscapes(normal.endsWith('/') ? normal.slice(0, -1) : normal)
    this.#segmentCount = this.#prefix.split('/').length - 1
  }

  /** A path outside of the prefix (a plugin may have set it) stays as it is. */
  apply(path: string): string {
    if (startsWithSegments(path, this.#prefix)) return path.slice(this.#prefix.length) || '/'
    const folded = foldReservedEscapes(path)
    const isBelow =
      startsWithSegments(folded, this.#prefix) || startsWithSegments(withoutParameters(folded), this.#prefix)
    if (!isBelow) return path
    let at = 0
    for (let segment = 0; segment < this.#segmentCount && at !== -1; segment++) at = path.indexOf('/', at + 1)
    return at === -1 ? '/' : path.slice(at)
  }
}

function startsWithSegments(path: string, prefix: string): boolean {
  return (
    path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === SLASH)
  )
}

const SLASH = 0x2f

/** Literal texts and, between them, slots: `literals[i]`, slot `i`, `literals[i + 1]`. */
interface Template {
  readonly literals: readonly string[]
  /** Names of parameters, or `*`. */
  readonly slots: readonly string[]
}

const SLOT = /:([A-Za-z_][A-Za-z0-9_]*)|\*/g

/** Splits a text at its slots and checks that every path of the route can fill them. */
function parseTemplate(route: RoutePlan, key: string, text: string): Template {
  const literals: string[] = []
  const slots: string[] = []
  let end = 0
  for (const match of text.matchAll(SLOT)) {
    literals.push(text.slice(end, match.index))
    slots.push(match[1] ?? '*')
    end = match.index + match[0].length
  }
  literals.push(text.slice(end))
  for (const path of route.paths) {
    const pattern = parsePathPattern(path)
    const missing = slots.find((slot) =>
      slot === '*' ? !pattern.prefix : !pattern.paramNames.includes(slot),
    )
    if (missing === undefined) continue
    const shown = missing === '*' ? '*' : `:${missing}`
    throw invalid(
      route,
      `uses "${shown}" in ${key}, but its path "${path}" has none. Add it there, or write "${missing === '*' ? '%2A' : '%3A'}" for the character itself.`,
    )
  }
  return { literals, slots }
}

function slotValue(slot: string, values: TemplateValues): string {
  return slot === '*' ? values.rest : (values.rawParams[slot] ?? '')
}

class PathTemplate implements Rewriter {
  readonly #template: Template
  readonly #findings = new PathFindings()

  constructor(route: RoutePlan) {
    const text = encodeNonAscii(route.rewrite)
    this.#template = parseTemplate(route, 'rewrite', text)
    if (text.includes('*') && text.indexOf('*') !== text.length - 1) {
      throw invalid(route, `has rewrite "${route.rewrite}", in which "*" is not the last character.`)
    }
    // A parameter is never empty, but the rest may be.
    const rawParams = Object.fromEntries(this.#template.slots.map((slot) => [slot, 'x']))
    for (const rest of ['x', '']) this.#checkSample(route, fill(this.#template, { rawParams, rest }))
  }

  #checkSample(route: RoutePlan, sample: string): void {
    const normal = normalizePath(sample, this.#findings)
    if (normal !== '' && this.#findings.oddities === 0) return
    const why = normal === '' ? this.#findings.fault : 'It has an encoded separator or an empty segment.'
    throw invalid(route, `has rewrite "${route.rewrite}", which is not a path. ${why}`)
  }

  apply(_path: string, values: TemplateValues): string {
    return normalizePath(fill(this.#template, values), this.#findings)
  }
}

function fill(template: Template, values: TemplateValues): string {
  const { literals, slots } = template
  let text = literals[0] ?? ''
  for (let index = 0; index < slots.length; index++) {
    text += slotValue(slots[index] ?? '', values) + (literals[index + 1] ?? '')
  }
  return text
}

/** Scheme with authority, path, query, fragment: RFC 3986, appendix B. */
const LOCATION = /^((?:[^:/?#]+:)?(?:\/\/[^/?#]*)?)([^?#]*)(\?[^#]*)?(#.*)?$/

/**
 * The Location of a redirect. What the client sent can only get into path, query and fragment: never into scheme or
 * authority, and never so that a path starts with `//`, which a browser would take for another authority.
 */
export class LocationTemplate {
  /** Literal scheme and authority; '' for a location on the same host. */
  readonly #origin: string
  readonly #path: Template
  /** `?…` and `#…`, in which values are encoded as one component; '' literal when there are none. */
  readonly #query: Template
  readonly #fragment: Template
  readonly #hasQuery: boolean

  constructor(route: RoutePlan, location: string) {
    const text = encodeNonAscii(location)
    if (!/^[!-~]+$/.test(text) || text.includes('\\')) {
      throw invalid(
        route,
        `redirects to "${location}", which is not a URI: spaces, backslashes and control characters must be percent-encoded.`,
      )
    }
    const [, origin = '', path = '', query = '', fragment = ''] = LOCATION.exec(text) ?? []
    if (!(origin === '' ? path.startsWith('/') : LITERAL_ORIGIN.test(origin))) {
      throw invalid(
        route,
        `redirects to "${location}"; a location starts with "/", or with scheme and host such as "https://example.com/". No part of the host can come from the request.`,
      )
    }
    this.#origin = origin
    this.#hasQuery = query !== ''
    this.#path = parseTemplate(route, 'redirect', path)
    this.#query = parseTemplate(route, 'redirect', query)
    this.#fragment = parseTemplate(route, 'redirect', fragment)
  }

  /**
   * The field value. `query` is the request's, with its `?`, or ''; it goes along unless the location has its own.
   */
  apply(values: TemplateValues, query: string): string {
    const path = fill(this.#path, values)
    const search = this.#hasQuery ? fillEncoded(this.#query, values) : encodeOutOfPlace(query)
    const rest = search + fillEncoded(this.#fragment, values)
    return this.#origin === '' ? withOneSlash(path) + rest : this.#origin + path + rest
  }
}

/** As `fill`, each value encoded as a whole, so that it cannot add another query parameter. */
function fillEncoded(template: Template, values: TemplateValues): string {
  const { literals, slots } = template
  let text = literals[0] ?? ''
  for (let index = 0; index < slots.length; index++) {
    const value = decodeSegment(slotValue(slots[index] ?? '', values))
    text += encodeURIComponent(value) + (literals[index + 1] ?? '')
  }
  return text
}

function withOneSlash(path: string): string {
  let at = 0
  while (path.charCodeAt(at + 1) === SLASH) at++
  return at === 0 ? path : path.slice(at)
}

/** Encodes what a head parser may let through in a query but a Location must not hold. */
function encodeOutOfPlace(query: string): string {
  for (let at = 0; at < query.length; at++) {
    if (!isVisible(query.charCodeAt(at))) return encodeEach(query)
  }
  return query
}

function isVisible(code: number): boolean {
  // Visible ASCII but for `#`, which would start a fragment.
  return code > 0x20 && code < 0x7f && code !== 0x23
}

function encodeEach(query: string): string {
  let text = ''
  for (let at = 0; at < query.length; at++) {
    const code = query.charCodeAt(at)
    // Header text is one octet per character.
    text += isVisible(code) ? query[at] : `%${(code & 0xff).toString(16).toUpperCase().padStart(2, '0')}`
  }
  return text
}
