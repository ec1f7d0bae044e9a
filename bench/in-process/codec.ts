import { LIMIT_DEFAULTS } from '../../packages/gateway/src/config/limits.ts'
import { HeadMemory } from '../../packages/gateway/src/data-plane/http1/head-memory.ts'
import { statusLine } from '../../packages/gateway/src/data-plane/http1/head-text.ts'
import {
  type RequestHead,
  readRequestHead,
} from '../../packages/gateway/src/data-plane/http1/request-head.ts'
import { requestText } from '../../packages/gateway/src/data-plane/http1/request-text.ts'
import {
  type ResponseHead,
  readResponseHead,
} from '../../packages/gateway/src/data-plane/http1/response-head.ts'
import { readBuffer } from '../../packages/gateway/src/data-plane/read-buffer.ts'
import type { Operation } from './timing.ts'

/** Heads stand where those of sockets do, one after the other: up to here. */
let used = 0

/** The request of the bench's load, and what a browser sends; the answer of its upstream. */
export const SMALL_REQUEST = head('GET /small HTTP/1.1', {
  Host: '127.0.0.1:8080',
  'User-Agent': 'wrk',
  Accept: '*/*',
})

export const BROWSER_REQUEST = head('GET /assets/app/main.js?v=8f2a HTTP/1.1', {
  Host: 'www.example.com',
  Connection: 'keep-alive',
  'sec-ch-ua': '"Chromium";v="140", "Not=A?Brand";v="24"',
  'sec-ch-ua-mobile': '?0',
  'User-Agent':
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Sec-Fetch-Site': 'same-origin',
  'Sec-Fetch-Mode': 'no-cors',
  'Sec-Fetch-Dest': 'script',
  Referer: 'https://www.example.com/',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  'Accept-Language': 'en-GB,en;q=0.9',
  Cookie: 'session=3f0a9c1be2d84c5b; theme=dark; consent=all',
})

const RESPONSE = head('HTTP/1.1 200 OK', {
  Server: 'nginx/1.22.1',
  Date: 'Mon, 02 Nov 2026 10:00:00 GMT',
  'Content-Type': 'application/json',
  'Content-Length': '54',
  Connection: 'keep-alive',
})

export const TARGET = {
  url: 'http://127.0.0.1:3000',
  scheme: 'http',
  hostname: '127.0.0.1',
  port: 3000,
} as const

export function codecOperations(): Operation[] {
  const request = readRequest(SMALL_REQUEST)
  const upstreamRequest = {
    method: request.method,
    url: request.target,
    fields: request.fields,
    forwardingLines: 'x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nvia: 1.1 cardea\r\n',
    hostPolicy: { kind: 'preserve' },
    contentLength: 0,
    hasContent: false,
    expectContinue: false,
    upgrade: null,
    replayable: true,
  } as const
  const response = readResponse()
  const small = new HeadMemory<RequestHead>()
  const browser = new HeadMemory<RequestHead>()
  const answer = new HeadMemory<ResponseHead>()
  return [
    { name: 'read a request head, 3 fields', run: () => readRequest(SMALL_REQUEST).end },
    { name: 'read a request head, 13 fields', run: () => readRequest(BROWSER_REQUEST).end },
    { name: 'read a response head, 5 fields', run: () => readResponse().end },
    { name: 'read a repeated request head, 3 fields', run: () => readRequest(SMALL_REQUEST, small).end },
    { name: 'read a repeated request head, 13 fields', run: () => readRequest(BROWSER_REQUEST, browser).end },
    { name: 'read a repeated response head, 5 fields', run: () => readResponse(answer).end },
    { name: 'write a request head, 3 fields', run: () => bytesOf(requestText(upstreamRequest, TARGET)) },
    {
      name: 'write a response head, 4 fields',
      run: () => bytesOf(`${statusLine(response.status)}${response.fields.text}content-length: 54\r\n\r\n`),
    },
  ]
}

/** `bytes` are of `head`; `memory` is that of a connection on which they may have come before. */
export function readRequest(bytes: Buffer, memory: HeadMemory<RequestHead> | null = null) {
  const start = bytes.byteOffset - readBuffer.byteOffset
  const read = readRequestHead(readBuffer, start, start + bytes.length, LIMIT_DEFAULTS, memory)
  if (read === null) throw new Error('The request head is not complete.')
  return read
}

export function readResponse(memory: HeadMemory<ResponseHead> | null = null) {
  const start = RESPONSE.byteOffset - readBuffer.byteOffset
  const read = readResponseHead(readBuffer, start, start + RESPONSE.length, LIMIT_DEFAULTS, memory)
  if (read === null) throw new Error('The response head is not complete.')
  return read
}

const wire = Buffer.alloc(16 * 1024)

/** Concatenated text costs only when it is laid out, which a write to a socket does. */
export function bytesOf(text: string): number {
  return wire.write(text, 'latin1')
}

export function head(firstLine: string, fields: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
  const text = [firstLine, ...lines, '', ''].join('\r\n')
  const start = used
  used += readBuffer.write(text, start, 'latin1')
  return readBuffer.subarray(start, used)
}
