import { request } from 'node:http'
import { Readable } from 'node:stream'
import { bytesOf, readSlowly } from './pace.ts'

/** Moves one large body and prints how many bytes came through. Usage: PORT down|up BYTES. */

const [port, direction, bytes] = process.argv.slice(2)
const up = direction === 'up'

const moved = await new Promise<number>((resolve, reject) => {
  const asked = request({
    host: '127.0.0.1',
    port: Number(port),
    path: '/bulk',
    method: up ? 'POST' : 'GET',
    headers: up ? { 'content-length': bytes } : {},
    agent: false,
  })
  asked.once('error', reject)
  asked.once('response', (response) => {
    if (response.statusCode !== 200) reject(new Error(`The answer has status ${response.statusCode}.`))
    else if (up) response.setEncoding('utf8').once('data', (count: string) => resolve(Number(count)))
    else readSlowly(response).then(resolve, reject)
  })
  if (up) Readable.from(bytesOf(Number(bytes))).pipe(asked)
  else asked.end()
})
process.stdout.write(`${moved}\n`)
