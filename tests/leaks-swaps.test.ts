import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const SWAPS = 500
const BYTES_PER_SWAP_MAX = 0.2 * 1024

interface Outcome {
  /** Bytes a swap, in each of several windows. */
  readonly grown: readonly number[]
  readonly size: { readonly instances: number; readonly bundles: number }
}

test('the instances of hundreds of generations leave nothing behind when plugins are swapped', async () => {
  // As workers run: with V8's compilation cache each new version would leave 8 KB.
  const flags = ['--no-compilation-cache', '--disable-sigusr1', '--expose-gc']
  const script = join(import.meta.dirname, 'leaks/swaps.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, String(SWAPS)])
  const { grown, size } = JSON.parse(stdout) as Outcome
  // A leak shows in every window; what V8 itself sets up on the way does not.
  const least = Math.min(...grown)
  assert.ok(least <= BYTES_PER_SWAP_MAX, `The heap grew by ${grown.join(', ')} bytes a swap`)
  assert.deepEqual(size, { instances: 0, bundles: 0 })
})
