/** What stands in the place of a secret. */
export const REDACTED = '[redacted]'

/** Words of a key that make its value a secret: `accessToken`, `set-cookie`, `REDIS_PASSWORD`, `api_key`. */
const SECRET_WORDS = new Set([
  'authorization',
  'cookie',
  'cookies',
  'credential',
  'credentials',
  'apikey',
  'key',
  'passphrase',
  'passwd',
  'password',
  'secret',
  'secrets',
  'token',
])

/** Whether a value under this key must not be written. */
export function isSecretKey(key: string): boolean {
  const words = key.replace(/([a-z0-9])([A-Z])/g, '$1 $2').split(/[^A-Za-z0-9]+/)
  return words.some((word) => SECRET_WORDS.has(word.toLowerCase()))
}
