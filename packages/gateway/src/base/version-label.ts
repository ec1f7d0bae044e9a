/** Enough to tell versions apart. */
const SHORT_HASH_CHARS = 8

/** A version of a plugin as people see it: `1.0.0 (3f2a91c0)`; only its hash where nobody knows the number any more. */
export function versionLabel({
  version,
  contentHash,
}: {
  readonly version: string | null
  readonly contentHash: string
}): string {
  const hash = contentHash.slice(0, SHORT_HASH_CHARS)
  return version === null ? hash : `${version} (${hash})`
}
