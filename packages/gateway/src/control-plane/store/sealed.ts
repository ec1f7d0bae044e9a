import { sha256 } from './blobs.ts'

/** Counts up when the form of what is sealed changes such that an older Cardea must not read it. */
const FORMAT = 1

export type Unsealed =
  | { readonly kind: 'whole'; readonly value: unknown }
  /** `reason` goes on after "the file ": `it is not whole`. */
  | { readonly kind: 'damaged'; readonly reason: string }

/** A value as the text of a file that tells whether it is whole: a line with the hash of what follows, and the value. */
export function sealed(value: unknown): string {
  const body = JSON.stringify(value)
  return `${JSON.stringify({ format: FORMAT, sha256: sha256(body) })}\n${body}\n`
}

/** The other way round, from whatever the file holds now. */
export function unsealed(text: string): Unsealed {
  const damaged = (reason: string): Unsealed => ({ kind: 'damaged', reason })
  const [head = '', body = '', rest] = text.split('\n')
  const { format, hash } = parseHead(head)
  if (format !== null && format > FORMAT) return damaged('a newer version of Cardea wrote it')
  if (format !== FORMAT || rest !== '') return damaged('it is not whole')
  if (hash !== sha256(body)) return damaged('its content does not have the hash that it names')
  return { kind: 'whole', value: JSON.parse(body) }
}

function parseHead(line: string): { readonly format: number | null; readonly hash: unknown } {
  try {
    const { format, sha256: hash } = JSON.parse(line)
    return { format: Number.isInteger(format) ? format : null, hash }
  } catch {
    return { format: null, hash: null }
  }
}
