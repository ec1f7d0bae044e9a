import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A plugin with a hundred tests, as somebody would write them: each has a gateway and a config of its own. */

export const NAME = 'hundred'
export const TESTS = 100

export async function writeHundred(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const tests = Array.from({ length: TESTS / KINDS.length }, (_, index) =>
    KINDS.map((textOf) => textOf(index)),
  )
  await writeFile(join(folder, 'plugin.json'), JSON.stringify(MANIFEST))
  await writeFile(join(folder, 'plugin.ts'), PLUGIN_TEXT)
  await writeFile(join(folder, 'plugin.test.ts'), [IMPORTS, ...tests.flat()].join('\n'))
}

const MANIFEST = {
  name: NAME,
  version: '1.0.0',
  config: { greeting: 'hello', length_max: 20, rest: '1s' },
  config_schema: {
    type: 'object',
    properties: {
      greeting: { type: 'string', minLength: 1 },
      length_max: { type: 'integer', minimum: 1 },
      rest: { type: 'string', format: 'duration' },
    },
  },
}

const PLUGIN_TEXT = `import { durationMs, type Plugin } from '@cardea/sdk'

interface Config {
  greeting: string
  length_max: number
  rest: string
}

export const PluginMain: Plugin<Config> = (config, host) => {
  const resting = new Set<string>()
  return {
    name: '${NAME}',
    handle(ctx) {
      const { clientIp, path } = ctx.request
      if (path.length > config.length_max) return ctx.response.json({ error: 'too long' }, { status: 414 })
      if (resting.has(clientIp)) return ctx.response.json({ error: 'slow down' }, { status: 429 })
      resting.add(clientIp)
      host.setTimeout(() => resting.delete(clientIp), durationMs(config.rest))
      ctx.response.headers.set('x-greeting', config.greeting)
      if (path === '/loud') ctx.response.transformBody((chunk) => Buffer.from(Buffer.from(chunk).toString().toUpperCase()))
      return true
    },
  }
}
`

const IMPORTS = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pluginFolder, testGateway } from '@cardea/sdk/testing'
`

/** By the number of the test among its kind. */
const KINDS: readonly ((index: number) => string)[] = [
  (index) => `test('visitor ${index} is greeted', async () => {
  await using gateway = await testGateway({
    plugins: [pluginFolder(import.meta.dirname, { greeting: 'hello ${index}' })],
    upstream: (request) => ({ status: 200, body: 'content of ' + request.url }),
  })
  const response = await gateway.fetch('/page-${index}')
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('x-greeting'), 'hello ${index}')
  assert.equal(await response.text(), 'content of /page-${index}')
})
`,
  (index) => `test('a path longer than ${index + 5} is refused', async () => {
  await using gateway = await testGateway({
    plugins: [pluginFolder(import.meta.dirname, { length_max: ${index + 5} })],
  })
  const response = await gateway.fetch('/${'x'.repeat(index + 5)}')
  assert.equal(response.status, 414)
  assert.deepEqual(await response.json(), { error: 'too long' })
  assert.equal(gateway.upstreamRequests.length, 0)
})
`,
  (index) => `test('a visitor rests for ${index + 1} s', async () => {
  await using gateway = await testGateway({
    plugins: [pluginFolder(import.meta.dirname, { rest: '${index + 1}s' })],
  })
  assert.equal((await gateway.fetch('/')).status, 200)
  assert.equal((await gateway.fetch('/')).status, 429)
  await gateway.clock.advance(${(index + 1) * 1000})
  assert.equal((await gateway.fetch('/')).status, 200)
})
`,
  (index) => `test('loud content in ${index + 1} pieces', async () => {
  await using gateway = await testGateway({
    plugins: [pluginFolder(import.meta.dirname)],
    upstream: () => ({ status: 200, body: Array.from({ length: ${index + 1} }, () => 'piece ') }),
  })
  const response = await gateway.fetch('/loud')
  assert.equal(await response.text(), 'PIECE '.repeat(${index + 1}))
})
`,
]
