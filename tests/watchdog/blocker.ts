/** The plugin that blocks: `config.hook` says where, `config.form` how, for requests to `/block/…`. */

export const FORMS = ['spin', 'regex', 'promises', 'allocate'] as const
export type Form = (typeof FORMS)[number] | 'swallow' | 'recurse' | 'wait' | 'native'

export type Hook =
  | 'handle'
  | 'onResponse'
  | 'onError'
  | 'onFinish'
  | 'requestTransform'
  | 'responseTransform'
  | 'requestStream'
  | 'responseStream'
  | 'laterChunk'
  | 'queuedChunk'
  | 'timer'
  | 'afterAwait'
  | 'listener'
  | 'start'

export const BLOCKER = `import { pbkdf2Sync } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Context, Host, PluginMain as Main } from '@cardea/sdk'

interface Config {
  readonly hook: string
  readonly form: string
}

function spin(): void {
  for (;;);
}

function regex(): void {
  ;/^(a+)+$/.test(\`\${'a'.repeat(50)}!\`)
}

function allocate(): void {
  const kept: unknown[] = []
  for (;;) kept.push(new Array(1000).fill({}))
}

function swallow(): void {
  for (;;) {
    try {
      for (;;);
    } catch {
    } finally {
      for (;;);
    }
  }
}

function recurse(depth = 0): number {
  return depth === 200 ? 0 : recurse(depth + 1) + recurse(depth + 1)
}

function wait(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}

function native(): void {
  pbkdf2Sync('password', 'salt', 2_000_000_000, 64, 'sha512')
}

async function promises(): Promise<void> {
  for (;;) await null
}

const forms: Readonly<Record<string, () => unknown>> = { spin, regex, allocate, swallow, recurse, wait, native, promises }

function block(form: string): unknown {
  return forms[form]?.()
}

export const PluginMain: Main<Config> = (config, host) => {
  const { hook, form } = config
  const isHit = (ctx: Context): boolean => ctx.request.path.startsWith('/block/')
  if (hook === 'start' && existsSync(process.env.BLOCKER_FLAG ?? '')) block(form)
  return {
    name: 'blocker',
    handle(ctx) {
      if (!isHit(ctx)) return true
      if (hook === 'handle') {
        const promise = block(form)
        if (promise instanceof Promise) return promise.then(() => true)
      }
      if (hook === 'afterAwait') return later(host).then(() => block(form)).then(() => true)
      if (hook === 'timer') host.setTimeout(() => block(form), 10)
      if (hook === 'listener') ctx.signal.addEventListener('abort', () => block(form))
      if (hook === 'requestTransform') ctx.request.transformBody(() => block(form) as null)
      if (hook === 'responseTransform') ctx.response.transformBody(() => block(form) as null)
      const pair = () => new TransformStream<Uint8Array, Uint8Array>({ transform: () => block(form) as void, flush: () => block(form) as void })
      const second = () => {
        let chunks = 0
        return new TransformStream<Uint8Array, Uint8Array>({
          transform(chunk, controller) {
            if (++chunks === 2) return block(form) as void
            controller.enqueue(chunk)
          },
        })
      }
      if (hook === 'laterChunk' || hook === 'queuedChunk') ctx.request.stream(second())
      if (hook === 'requestStream') ctx.request.stream(pair())
      if (hook === 'responseStream') ctx.response.stream(pair())
      return true
    },
    onResponse: hook === 'onResponse' ? (ctx) => (isHit(ctx) ? (block(form) as void) : undefined) : undefined,
    onError: hook === 'onError' ? (ctx) => (isHit(ctx) ? (block(form) as void) : undefined) : undefined,
    onFinish: hook === 'onFinish' ? (ctx) => (isHit(ctx) ? (block(form) as void) : undefined) : undefined,
  }
}

const later = (host: Host): Promise<void> => new Promise((resolve) => host.setTimeout(resolve, 10))
`

/** Where `form` blocks, as a stack says it. */
export function placeOf(form: Form): RegExp {
  const marks: Readonly<Record<Form, string>> = {
    spin: 'for (;;);',
    regex: '/^(a+)+$/',
    allocate: 'kept.push',
    swallow: '      for (;;);',
    recurse: 'depth === 200',
    wait: 'Atomics.wait(',
    native: 'pbkdf2Sync(',
    promises: 'await null',
  }
  const line = BLOCKER.split('\n').findIndex((text) => text.includes(marks[form])) + 1
  return new RegExp(`\\b${form} \\(.*/plugin\\.ts:${form === 'swallow' ? '\\d+' : line}:\\d+\\)`)
}
