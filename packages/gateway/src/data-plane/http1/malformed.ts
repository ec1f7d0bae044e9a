import type { ErrorCode } from '../../base/errors.ts'

/** A message that breaks the rules: which rule, and what a client is told. Thrown by the parsers, on cold paths only. */
export class Malformed extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, detail: string) {
    super(detail)
    this.name = 'Malformed'
    this.code = code
  }
}

/** The codes that one direction answers with; the same broken head is a 400 from a client and a 502 from an upstream. */
export interface MalformedCodes {
  readonly malformed: ErrorCode
  readonly tooLarge: ErrorCode
}

export const REQUEST_CODES: MalformedCodes = {
  malformed: 'REQUEST_MALFORMED',
  tooLarge: 'REQUEST_HEAD_TOO_LARGE',
}

export const RESPONSE_CODES: MalformedCodes = {
  malformed: 'UPSTREAM_RESPONSE_INVALID',
  tooLarge: 'UPSTREAM_RESPONSE_INVALID',
}
