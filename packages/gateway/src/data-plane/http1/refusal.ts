import type { ErrorCode } from '../../base/errors.ts'
import { problemAnswer } from '../answer.ts'
import { responseText } from './head-text.ts'
import type { RequestHead } from './request-head.ts'

/** The whole answer, last on its connection, to what never became an exchange. `head` is null if it could not be read. */
export function refusalText(code: ErrorCode, detail: string, head: RequestHead | null, id: string): string {
  const { status, fields, content } = problemAnswer(code, detail, id)
  const http10 = head?.minorVersion === 0
  const text = responseText(status, fields, content?.length ?? 0, false, false, http10)
  return content === null || head?.method === 'HEAD' ? text : text + content.toString('latin1')
}
