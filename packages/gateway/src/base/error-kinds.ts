/** The kinds of errors that the tables of codes are written in. */

export type ErrorSource = 'client' | 'upstream' | 'plugin' | 'config' | 'gateway'

/** Whether sending the same request again can help, and when it is safe. */
export type Retry = 'never' | 'idempotent' | 'always'

export interface ErrorKind {
  /** The status a client gets; 0 where no exchange is involved. */
  readonly status: number
  readonly source: ErrorSource
  readonly retry: Retry
  /** One phrase: what it means. Also the `title` of the problem body (RFC 9457). */
  readonly title: string
  readonly cause: string
  readonly cure: string
}

export const client = (status: number, title: string, cause: string, cure: string): ErrorKind => ({
  status,
  source: 'client',
  retry: 'never',
  title,
  cause,
  cure,
})
export const upstream = (
  status: number,
  retry: Retry,
  title: string,
  cause: string,
  cure: string,
): ErrorKind => ({
  status,
  source: 'upstream',
  retry,
  title,
  cause,
  cure,
})
export const plugin = (status: number, title: string, cause: string, cure: string): ErrorKind => ({
  status,
  source: 'plugin',
  retry: 'never',
  title,
  cause,
  cure,
})
export const config = (title: string, cause: string, cure: string): ErrorKind => ({
  status: 0,
  source: 'config',
  retry: 'never',
  title,
  cause,
  cure,
})
export const gateway = (
  status: number,
  retry: Retry,
  title: string,
  cause: string,
  cure: string,
): ErrorKind => ({
  status,
  source: 'gateway',
  retry,
  title,
  cause,
  cure,
})
