import { connect, type Socket } from 'node:net'
import { SMALL_BODY } from '../scenarios.ts'

/** Opens connections, asks once on each, and holds them until it is ended. Prints how many. Usage: PORT COUNT. */

const AT_ONCE = 100

const [port, count] = process.argv.slice(2)
const sockets: Socket[] = []

function openAndAsk(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1')
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.endsWith(SMALL_BODY)) resolve(socket)
    })
    socket.once('error', reject)
    socket.once('close', () => {
      process.stderr.write('A connection was closed while idle.\n')
      process.exit(1)
    })
    socket.write('GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n')
  })
}

while (sockets.length < Number(count)) {
  const missing = Math.min(AT_ONCE, Number(count) - sockets.length)
  sockets.push(...(await Promise.all(Array.from({ length: missing }, openAndAsk))))
}
process.stdout.write(`${sockets.length}\n`)
process.once('SIGTERM', () => process.exit(0))
