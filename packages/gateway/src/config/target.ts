import type { TargetPlan } from '../protocol/generation.ts'

/** The address of one upstream server, from its URL. Host and port only: a path or a password would be ignored. */

export type TargetResult =
  | { readonly ok: true; readonly target: TargetPlan }
  | { readonly ok: false; readonly reason: string; readonly nearest: string | null }

export const TARGET_FORM = 'an http or https URL with host and port only, such as "http://127.0.0.1:3000"'

export function parseTarget(text: string): TargetResult {
  const refuse = (reason: string, nearest: string | null = null): TargetResult => ({
    ok: false,
    reason,
    nearest,
  })
  if (!/^https?:\/\//i.test(text)) {
    const guess = `http://${text}`
    const isBareHost = /^[A-Za-z0-9._-]+(:\d+)?$/.test(text) && URL.canParse(guess)
    return refuse('it has no http:// or https:// in front', isBareHost ? guess : null)
  }
  // URL would quietly drop or change these.
  if (/[\s\\]/.test(text) || !URL.canParse(text)) return refuse('it is not a URL')
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return refuse('it may not carry a user or password')
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || /[?#]$/.test(text)) {
    return refuse('it may not have a path or query: use `rewrite` on the route', url.origin)
  }
  if (url.port === '0') return refuse('port 0 cannot be connected to')
  const scheme = url.protocol === 'https:' ? 'https' : 'http'
  return {
    ok: true,
    target: {
      url: url.origin,
      scheme,
      hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? (scheme === 'https' ? 443 : 80) : Number(url.port),
    },
  }
}
