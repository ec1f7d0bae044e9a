import type { Readable } from 'node:stream'

/** How a slow reader reads: a trickle, then nothing at all, then as fast as it comes, so that the run ends soon. */
const TRICKLE_MS = 3_000
const STALL_MS = 3_000
const TRICKLE_STEP_MS = 50
/** About 10 MB/s. */
const TRICKLE_STEP_BYTES = 512 * 1024

/** Reads `source` to its end, slowly at first. Resolves to the number of bytes; rejects when it breaks off. */
export function readSlowly(source: Readable): Promise<number> {
  const startedAt = performance.now()
  let bytes = 0
  let stepBytes = 0
  const pauseFor = (ms: number) => {
    source.pause()
    setTimeout(() => source.resume(), ms)
  }
  source.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    stepBytes += chunk.length
    const elapsedMs = performance.now() - startedAt
    if (elapsedMs >= TRICKLE_MS + STALL_MS || stepBytes < TRICKLE_STEP_BYTES) return
    stepBytes = 0
    pauseFor(elapsedMs < TRICKLE_MS ? TRICKLE_STEP_MS : TRICKLE_MS + STALL_MS - elapsedMs)
  })
  return new Promise((resolve, reject) => {
    source.once('end', () => resolve(bytes))
    source.once('error', reject)
    source.once('close', () => reject(new Error(`The body ended early, after ${bytes} bytes.`)))
  })
}

/** `total` bytes, as fast as they are taken. */
export function* bytesOf(total: number): Generator<Buffer> {
  const chunk = Buffer.alloc(64 * 1024, 'x')
  for (let left = total; left > 0; left -= chunk.length)
    yield left < chunk.length ? chunk.subarray(0, left) : chunk
}
