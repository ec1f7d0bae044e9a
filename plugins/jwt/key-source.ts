import type { Log } from '@cardea/sdk'
import { exportJWK, importSPKI, importX509 } from 'jose'
import type { Config, KeysConfig } from './config.ts'
import { faultsText, type Key, KeySet } from './key-set.ts'
import { adviceOn } from './pem-advice.ts'

/** Where keys come from. */
export interface KeySource {
  /**
   * Whether there are keys that may be used now. Called for every exchange: it also sees to it that they are fetched again in
   * time, without anybody waiting.
   */
  isReady(nowMs: number): boolean
  /**
   * The keys that may have signed a token of that header; looks for new ones first when none is known. Empty: nobody
   * that is trusted has signed it. Rejects with KeysUnavailable when that cannot be told now.
   */
  find(alg: string, kid: string | null): Promise<readonly Key[]>
}

/** There are no keys, or none that are new enough, and their source does not answer. */
export class KeysUnavailable extends Error {
  override name = 'KeysUnavailable'
}

/** Keys that the config itself holds: another key is another instance. */
export async function fixedKeys(
  kind: 'jwks' | 'pem' | 'secret',
  { keys, algorithms }: Config,
  log: Log,
): Promise<KeySource> {
  if (kind === 'secret') return always([secretKey(keys, algorithms)])
  if (kind === 'pem') {
    const set = await pemKeys(keys.pem ?? '', algorithms)
    // It has no name, so whatever a token calls its key, it can only be this one.
    return always((alg) => set.find(alg, null))
  }
  try {
    const set = KeySet.parse(keys.jwks ?? '', null)
    const secrets = set.ignored.get('secret') ?? 0
    if (secrets > 0) {
      throw new Error(
        `${secrets} of its keys cannot be used: private or secret, they have no place in a set that is public; leave them out`,
      )
    }
    if (set.ignored.size > 0) log.info(`Some keys of \`keys.jwks\` are not used: ${faultsText(set.ignored)}`)
    return always((alg, kid) => set.find(alg, kid))
  } catch (error) {
    throw new Error(
      `Cannot use \`keys.jwks\`: ${error instanceof Error ? error.message : 'it cannot be read'}.`,
    )
  }
}

function always(find: readonly Key[] | ((alg: string, kid: string | null) => readonly Key[])): KeySource {
  return {
    isReady: () => true,
    find: async (alg, kid) => (typeof find === 'function' ? find(alg, kid) : find),
  }
}

/** RFC 7518, 3.2: a key of at least the size of the hash; a shorter one can be found by trying. */
function secretKey(
  { secret = '', secret_encoding: encoding }: KeysConfig,
  algorithms: readonly string[],
): Key {
  const isBase64url = encoding === 'base64url'
  if (isBase64url && !/^[\w-]+={0,2}$/.test(secret)) {
    throw new Error('Cannot use `keys.secret`: it is not base64url, as `keys.secret_encoding` says.')
  }
  const bytes = new Uint8Array(Buffer.from(secret, isBase64url ? 'base64url' : 'utf8'))
  for (const algorithm of algorithms) {
    const least = Number(algorithm.slice(2)) / 8
    if (bytes.length < least) {
      throw new Error(
        `Cannot use \`keys.secret\`: it has ${bytes.length} bytes, and ${algorithm} needs at least ${least} random ones (RFC 7518, 3.2).`,
      )
    }
  }
  return { kid: null, material: bytes, isLive: true }
}

async function pemKeys(pem: string, algorithms: readonly string[]): Promise<KeySet> {
  const text = pem.trim()
  const read = text.startsWith('-----BEGIN CERTIFICATE-----') ? importX509 : importSPKI
  let problem: unknown
  // Which of the algorithms it goes with is in the key itself.
  for (const algorithm of algorithms) {
    try {
      const jwk = await exportJWK(await read(text, algorithm, { extractable: true }))
      const set = KeySet.parse(JSON.stringify({ keys: [jwk] }), null)
      if (algorithms.some((alg) => set.find(alg, null).length > 0)) return set
    } catch (error) {
      problem = error
    }
  }
  const why =
    adviceOn(text) ??
    `it is no public key or certificate for ${algorithms.join(', ')}, or an RSA key of less than 2048 bits. ` +
      'Taken are `BEGIN PUBLIC KEY` and `BEGIN CERTIFICATE`'
  throw new Error(`Cannot use \`keys.pem\`: ${why}.`, { cause: problem })
}
