/** DER of the object identifier id-RSASSA-PSS (RFC 4055, 1.2). */
const RSA_PSS_ID = Buffer.from('06092a864886f70d01010a', 'hex')
/** A public key begins with its algorithm: it stands behind the heads of two sequences. */
const ALGORITHM_ENDS_AT = 20

/**
 * What a PEM text is of which no key could be read, and how to make one of it that can; quotes nothing of it. Null: nothing is known
 * of it.
 */
export function adviceOn(pem: string): string | null {
  const [, label = '', base64 = ''] = /^-----BEGIN ([A-Z0-9 -]+?)-----([^-]*)/.exec(pem) ?? []
  if (label.endsWith('PRIVATE KEY')) {
    return 'it is a private key, and only its public one is needed here: `openssl pkey -in private.pem -pubout -out public.pem` writes it'
  }
  if (label === 'RSA PUBLIC KEY') {
    return 'it is an RSA key in the form of PKCS#1: `openssl rsa -RSAPublicKey_in -in key.pem -pubout -out public.pem` makes one of it that is taken'
  }
  const start = Buffer.from(base64, 'base64').subarray(0, ALGORITHM_ENDS_AT)
  if (label === 'PUBLIC KEY' && start.includes(RSA_PSS_ID)) {
    return (
      'it is an RSA key that is marked as for RSA-PSS alone. PS256, PS384 and PS512 take it without that mark: `openssl rsa -pubin ' +
      '-in key.pem -RSAPublicKey_out -outform DER | openssl rsa -RSAPublicKey_in -inform DER -pubout -out public.pem`'
    )
  }
  return null
}
