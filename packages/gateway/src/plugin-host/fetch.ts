import { GatewayError } from '../base/errors.ts'
import { netPermissionOf } from '../base/net-permission.ts'
import { PLUGIN_LIMITS } from '../config/limits.ts'

export type HostFetch = (url: string | URL, init?: RequestInit) => Promise<Response>

/** Sends one hop, and follows no redirect. */
export type Transport = (url: URL, init: RequestInit) => Promise<Response>

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** Go with the content when a redirect turns the request into GET (Fetch standard, "request-body-header name"). */
const CONTENT_FIELDS = [
  'content-encoding',
  'content-language',
  'content-location',
  'content-type',
  'content-length',
]
/** What was meant for one origin only. */
const CREDENTIAL_FIELDS = ['authorization', 'cookie', 'proxy-authorization', 'host']

/**
 * `fetch` for the hosts that `net:HOST:PORT` permissions name. Redirects are followed here, hop by hop, since the
 * runtime's own following would let a granted host send the gateway anywhere inside the network.
 *
 * Rejects with PERMISSION_DENIED before anything is sent, otherwise as the Fetch API does.
 */
export function permittedFetch(
  plugin: string,
  permissions: readonly string[],
  stopped: AbortSignal,
  transport: Transport = fetch,
): HostFetch {
  const granted = new Set(permissions.filter((one) => one.startsWith('net:')).map((one) => one.toLowerCase()))
  const check = (url: URL): void => {
    const needed = netPermissionOf(url)
    if (needed !== null && granted.has(needed)) return
    const reason =
      needed === null
        ? `${url.protocol} is neither http: nor https:`
        : `the permission "${needed}" is not in its plugin.json`
    throw new GatewayError('PERMISSION_DENIED', `Plugin "${plugin}" may not fetch ${url.origin}: ${reason}`, {
      plugin,
    })
  }
  return async (url, init = {}) => {
    if (init.integrity) {
      throw new TypeError(
        'host.fetch does not check `integrity`: compare a digest by host.hash and timingSafeEqual',
      )
    }
    const signal = init.signal ? AbortSignal.any([stopped, init.signal]) : stopped
    return followRedirects(new URL(url), init, signal, check, transport)
  }
}

async function followRedirects(
  first: URL,
  init: RequestInit,
  signal: AbortSignal,
  check: (url: URL) => void,
  transport: Transport,
): Promise<Response> {
  let url = first
  // Copied by name: `dispatcher` and its like would lead the request past the permissions.
  let method = init.method ?? 'GET'
  let body = init.body ?? null
  const headers = new Headers(init.headers)
  const mode = init.redirect ?? 'follow'
  for (let hops = 0; ; hops++) {
    check(url)
    const response = await transport(url, {
      method,
      headers,
      body,
      signal,
      redirect: mode === 'error' ? 'error' : 'manual',
      duplex: 'half',
    })
    const location = REDIRECTS.has(response.status) ? response.headers.get('location') : null
    if (mode !== 'follow' || location === null) return hops === 0 ? response : asRedirected(response)
    await response.body?.cancel()
    if (hops === PLUGIN_LIMITS.fetchRedirectsMax) {
      throw new TypeError(`fetch of ${first.href} failed: more than ${hops} redirects`)
    }
    const next = new URL(location, url)
    if (becomesGet(response.status, method)) {
      method = 'GET'
      body = null
      for (const name of CONTENT_FIELDS) headers.delete(name)
    } else if (isOneShot(body)) {
      throw new TypeError(
        `fetch of ${first.href} failed: a streamed body cannot be sent again to ${next.href}`,
      )
    }
    if (next.origin !== url.origin) for (const name of CREDENTIAL_FIELDS) headers.delete(name)
    url = next
  }
}

/** Fetch standard, "HTTP-redirect fetch", step 12. */
function becomesGet(status: number, method: string): boolean {
  const upper = method.toUpperCase()
  if (status === 303) return upper !== 'GET' && upper !== 'HEAD'
  return (status === 301 || status === 302) && upper === 'POST'
}

/** A body that is gone once it was sent. */
function isOneShot(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}

/** Each hop was a request of its own; the caller shall still see that there were several. */
function asRedirected(response: Response): Response {
  return Object.defineProperty(response, 'redirected', { value: true })
}
