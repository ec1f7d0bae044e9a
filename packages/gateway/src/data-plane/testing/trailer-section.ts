import type { FieldLines } from '../fields.ts'
import { BodyDecoder, type BodyLimits } from '../http1/body-decoder.ts'
import type { MalformedCodes } from '../http1/malformed.ts'
import { type FieldsInit, pairsOf } from './body-source.ts'

/**
 * Trailers of a test as the production decoder gives them: without those that may not come late. `connection` is that of the
 * head. Throws Malformed.
 */
export function decodedTrailers(
  fields: FieldsInit | undefined,
  connection: string | null,
  limits: BodyLimits,
  codes: MalformedCodes,
): FieldLines | null {
  const lines = pairsOf(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  const bytes = Buffer.from(`0\r\n${lines.join('')}\r\n`, 'latin1')
  const decoder = new BodyDecoder(limits, codes)
  let decoded: FieldLines | null = null
  decoder.startChunked(connection)
  decoder.feed(bytes, 0, bytes.length, {
    onBodyData() {},
    onBodyEnd(trailers) {
      decoded = trailers
    },
  })
  return decoded
}
