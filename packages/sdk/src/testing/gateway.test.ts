import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testGateway } from './index.ts'

test('testGateway() runs plugins in front of an upstream', async () => {
  await using gateway = await testGateway({
    plugins: [
      {
        manifest: { name: 'greeter', config: { greeting: 'hi' } },
        config: { greeting: 'hello' },
        main: (config: { greeting: string }) => ({
          name: 'greeter',
          handle(ctx) {
            ctx.response.headers.set('x-greeting', config.greeting)
            return true
          },
        }),
      },
    ],
    upstream: (request) => ({ status: 201, headers: { 'x-path': request.url }, body: request.text() }),
  })
  const response = await gateway.fetch('/a?b', { method: 'POST', body: 'content' })
  assert.equal(response.status, 201)
  assert.equal(response.headers.get('x-greeting'), 'hello')
  assert.equal(await response.text(), 'content')
  assert.equal(response.headers.get('x-path'), '/a?b')
  assert.equal(gateway.upstreamRequests[0]?.headers.get('via'), '1.1 cardea')
  assert.equal(gateway.records.length, 1)
  assert.deepEqual(gateway.logs, [])
})
for (let i = 0; i < 100; i++) {
  test(`speed ${i}`, async () => {
    await using gateway = await testGateway({
      plugins: [
        {
          main: () => ({ name: 'x', handle: () => true }),
          manifest: { config_schema: { type: 'object', properties: { a: { type: 'string' } } } },
        },
      ],
    })
    assert.equal((await gateway.fetch('/')).status, 200)
  })
}
