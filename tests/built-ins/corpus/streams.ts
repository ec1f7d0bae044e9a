import type { CorpusGroup } from './exchange.ts'

/** A user's plugin that passes bodies through web streams: the request's as text, the answer's through gzip. */
export const STREAMING = {
  'plugin.json': { name: 'streaming', version: '1.0.0', scope: 'route', category: 'transform' },
  'plugin.ts': `
import type { Context, Middleware, StreamPair } from '@cardea/sdk'

function shouting(): StreamPair {
  const decoder = new TextDecoderStream()
  const upper = new TransformStream<string, string>({
    transform: (chunk, controller) => controller.enqueue(chunk.toUpperCase()),
    flush: (controller) => controller.enqueue('!'),
  })
  return { writable: decoder.writable, readable: decoder.readable.pipeThrough(upper).pipeThrough(new TextEncoderStream()) }
}

export function PluginMain(): Middleware {
  return {
    name: 'streaming',
    handle({ request }: Context) {
      if (request.path.includes('/shout')) request.stream(shouting())
      if (request.path.includes('/fail')) request.stream(new DecompressionStream('gzip'))
      return true
    },
    onResponse({ request, response }: Context) {
      if (request.headers.get('accept-encoding') !== 'gzip' || response.headers.has('content-encoding')) return
      response.headers.set('content-encoding', 'gzip')
      response.stream(new CompressionStream('gzip'))
    },
  }
}
`,
} as const

const GZIP = { 'accept-encoding': 'gzip' }

export const STREAMS: CorpusGroup = {
  routes: [{ path: '/streams/*', plugins: { streaming: {} } }],
  requests: [
    '/echo',
    '/shout',
    '/upstream-status/204',
    '/upstream-status/404',
    '/upstream-own/cookies',
  ].flatMap((path) => [
    { url: `/streams${path}` },
    { url: `/streams${path}`, headers: GZIP },
    { url: `/streams${path}`, headers: GZIP, method: 'HEAD' },
    { url: `/streams${path}`, headers: GZIP, method: 'POST', body: 'some content' },
    { url: `/streams${path}`, method: 'PUT', body: 'grüße' },
    { url: `/streams${path}`, method: 'POST', body: '' },
    // In the answer stands an id, which gzip would hide.
    { url: `/streams${path}/fail`, method: 'POST', body: 'not of gzip' },
  ]),
}
