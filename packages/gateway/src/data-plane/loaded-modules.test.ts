import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

/** Of Node's own modules, those that take more memory and time in each worker than most of them ever need. */
const LARGE = /undici|http2|tls\/wrap|sqlite/

test('a data plane loads neither undici nor HTTP/2, and TLS only for those that speak it', async () => {
  const entry = JSON.stringify(join(import.meta.dirname, 'data-plane.ts'))
  const script = `await import(${entry}); process.stdout.write(process.moduleLoadList.join('\\n'))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  const loaded = stdout.split('\n')
  assert.ok(loaded.includes('NativeModule net'))
  assert.deepEqual(
    loaded.filter((module) => LARGE.test(module)),
    [],
  )
})
