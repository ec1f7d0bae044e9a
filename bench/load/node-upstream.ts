import { createServer, type Socket } from 'node:net'
import { pathOf, SCENARIOS } from '../scenarios.ts'

/**
 * The upstream for machines without nginx: the least that speaks HTTP/1.1, for the bench's own proxies only. It
 * takes bodies with Content-Length and answers what the scenarios ask for. Usage: PORT.
 */

const HEAD_BYTES_MAX = 16_384
const HEAD_END = Buffer.from('\r\n\r\n')

const answers = new Map(
  SCENARIOS.flatMap((scenario) =>
    scenario.variants.map((variant) => [
      pathOf(scenario, variant),
      answer(Buffer.alloc(scenario.answerBytes, 'x')),
    ]),
  ),
)
let accepted = 0

createServer((socket) => {
  accepted++
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  serve(socket)
}).listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 })

function serve(socket: Socket): void {
  let held: Buffer = Buffer.alloc(0)
  let bodyLeft = 0
  let reply: Buffer | null = null
  let closes = false
  socket.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    for (;;) {
      if (reply === null) {
        const end = held.indexOf(HEAD_END)
        if (end === -1) {
          if (held.length > HEAD_BYTES_MAX) socket.destroy()
          return
        }
        const head = held.toString('latin1', 0, end)
        held = held.subarray(end + HEAD_END.length)
        bodyLeft = Number(/^content-length: *(\d+)\r?$/im.exec(head)?.[1] ?? 0)
        closes = /^connection: *close\r?$/im.test(head)
        reply = replyTo(head.split(' ', 2)[1] ?? '')
      }
      const taken = Math.min(bodyLeft, held.length)
      held = held.subarray(taken)
      bodyLeft -= taken
      if (bodyLeft > 0) return
      socket.write(reply)
      reply = null
      if (closes) return void socket.end()
    }
  })
}

function replyTo(path: string): Buffer {
  // The form of nginx's stub_status, so that there is one reader for both.
  if (path === '/status')
    return answer(Buffer.from(`server accepts handled requests\n ${accepted} ${accepted} 0\n`))
  return answers.get(path) ?? Buffer.from('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
}

function answer(body: Buffer): Buffer {
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n'
  return Buffer.concat([Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`), body])
}
