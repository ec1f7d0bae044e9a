import type { TestResponse } from './test-connection.ts'

/** A response with Content-Length. */
export function ok(body = 'ok', lines = ''): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${lines}\r\n${body}`
}

/** A GET of the target with a Host. */
export function get(target = '/', lines = ''): string {
  return `GET ${target} HTTP/1.1\r\nHost: app.test\r\n${lines}\r\n`
}

export function post(body: string, target = '/', lines = ''): string {
  return `POST ${target} HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${body.length}\r\n${lines}\r\n${body}`
}

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail?: string
  readonly id?: string
}

/** The problem body (RFC 9457) of an answer. Throws when it has none, or contradicts the answer. */
export function problemOf(answer: TestResponse): Problem {
  if (answer.field('content-type') !== 'application/problem+json') {
    throw new Error(`It is no problem: ${answer.statusLine} ${answer.text}`)
  }
  const problem = JSON.parse(answer.text) as Problem
  if (problem.status !== answer.status || problem.type !== 'about:blank' || problem.title === '') {
    throw new Error(`It does not fit ${answer.statusLine}: ${answer.text}`)
  }
  return problem
}
