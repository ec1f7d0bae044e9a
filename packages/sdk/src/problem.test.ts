import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendProblem } from './problem.ts'
import { testGateway } from './testing/index.ts'

async function problemOf(status: number, headers?: Readonly<Record<string, string | readonly string[]>>) {
  await using gateway = await testGateway({
    plugins: [
      {
        main: () => ({
          name: 'refusing',
          handle: (ctx) => sendProblem(ctx, { status, code: 'NOT_HERE', detail: 'It is not here.' }, headers),
        }),
      },
    ],
  })
  const response = await gateway.fetch('/')
  return { response, body: (await response.json()) as Record<string, unknown> }
}

test('sendProblem() answers with a problem whose id is that of the request', async () => {
  const { response, body } = await problemOf(404)
  const { id, ...said } = body
  assert.equal(response.status, 404)
  assert.deepEqual(said, {
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    code: 'NOT_HERE',
    detail: 'It is not here.',
  })
  assert.match(String(id), /./)
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  assert.equal(response.headers.get('cache-control'), 'no-store')
})

test('sendProblem() has a title for every status, as RFC 9457, 4.2.1 wants it', async () => {
  assert.deepEqual(
    await Promise.all([429, 499, 503, 599].map(async (status) => (await problemOf(status)).body.title)),
    ['Too Many Requests', 'Bad Request', 'Service Unavailable', 'Internal Server Error'],
  )
})

test('sendProblem() adds headers, and those given win', async () => {
  const { response } = await problemOf(405, { allow: ['GET', 'HEAD'], 'cache-control': 'max-age=1' })
  assert.equal(response.headers.get('allow'), 'GET, HEAD')
  assert.equal(response.headers.get('cache-control'), 'max-age=1')
})
