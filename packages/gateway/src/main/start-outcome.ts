import type { ChangeReport } from '../protocol/control.ts'

/** The start was to be strict, and the files cannot be served. The message is for the person who started it. */
export class StartRefused extends Error {}

/** Which generation is served since the files cannot be, for the person who started it; 0: none. */
export function whatServesInstead(live: number, { outcome }: ChangeReport): string {
  const orApproved = outcome === 'held' ? ', or "cardea approve" is run' : ''
  return live === 0
    ? `NOTHING IS SERVED: every request is answered 503 until the files are mended${orApproved}.`
    : `THE FILES ARE NOT SERVED: generation ${live}, which served last, is served instead until they are mended.`
}
