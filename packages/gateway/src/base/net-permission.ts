/** The permission that a fetch of this URL needs, `net:HOST:PORT`, or null when it is not HTTP. */
export function netPermissionOf(url: URL): string | null {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return null
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return `net:${url.hostname.toLowerCase()}:${port}`
}
