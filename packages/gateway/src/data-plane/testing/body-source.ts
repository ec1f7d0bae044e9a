/** One piece of a body as it arrives: text (as UTF-8), bytes, or a pause on the virtual clock before the next. */
export type BodyPiece = string | Uint8Array | { readonly pauseMs: number }

/** A body that arrives whole, or piece by piece. Null: none. */
export type BodySource = string | Uint8Array | null | readonly BodyPiece[]

/** The body as a list of pieces, each with memory of its own. */
export function piecesOf(body: BodySource | undefined): (Buffer | number)[] {
  if (body === null || body === undefined) return []
  const pieces = typeof body === 'string' || body instanceof Uint8Array ? [body] : body
  return pieces.map((piece) =>
    typeof piece === 'string'
      ? Buffer.from(piece)
      : piece instanceof Uint8Array
        ? Buffer.from(piece)
        : (piece as { pauseMs: number }).pauseMs,
  )
}

export function bytesIn(pieces: readonly (Buffer | number)[]): number {
  return pieces.reduce<number>((sum, piece) => sum + (typeof piece === 'number' ? 0 : piece.length), 0)
}

/** Name and value of each field line. */
export type FieldPairs = readonly (readonly [name: string, value: string])[]

/** Header fields as tests write them. */
export type FieldsInit = Readonly<Record<string, string | readonly string[]>> | FieldPairs

export function pairsOf(fields: FieldsInit | undefined): [name: string, value: string][] {
  if (fields === undefined) return []
  if (Array.isArray(fields)) return (fields as FieldPairs).map(([name, value]) => [name, value])
  return Object.entries(fields as Readonly<Record<string, string | readonly string[]>>).flatMap(
    ([name, value]) =>
      typeof value === 'string'
        ? [[name, value] as [string, string]]
        : value.map((line): [string, string] => [name, line]),
  )
}

export function headersOf(pairs: FieldPairs): Headers {
  const headers = new Headers()
  for (const [name, value] of pairs) headers.append(name, value)
  return headers
}

/** What was sent is not there any more once the call is over; code that keeps a slice of it instead of a copy shows. */
export function scribble(buffer: Buffer): void {
  buffer.fill(0x7e)
}
