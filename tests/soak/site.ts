import type { FileContents } from '../support/temp-dir.ts'

/** What distinguishes one generation of the soak from the next. Every part comes back in every answer. */
export interface SiteState {
  /** In the code of the plugin `stamp`. */
  readonly code: number
  /** In the config of the plugin `witness`. */
  readonly config: number
  /** In the name of the route. */
  readonly route: number
  /** Which of the origins is the upstream. */
  readonly origin: number
}

export const FIRST_STATE: SiteState = { code: 0, config: 0, route: 0, origin: 0 }

/** As an answer tells it; two exchanges of one generation have the same, those of two never. */
export function keyOf({ code, config, route, origin }: SiteState): string {
  return `code ${code}, config ${config}, route work-${route}, origin ${origin}`
}

export interface Site {
  readonly workers: number
  /** `http://127.0.0.1:PORT` of each origin. */
  readonly origins: readonly string[]
}

export function siteConfig({ workers, origins }: Site, state: SiteState): Record<string, unknown> {
  const origin = (index: number): Record<string, unknown> => ({ targets: [origins[index]] })
  return {
    listen: [{ host: '127.0.0.1', port: 0 }],
    workers,
    debug: true,
    log: { level: 'warn' },
    // A probe collects garbage until nothing is freed, in a hook: no fault on a machine that is short of cores.
    faults: { stall: '10s' },
    // All streams may land in one worker.
    upstreams: { origin: origin(state.origin), live: { ...origin(0), connections_max: 2_000 } },
    routes: [
      { name: 'live', path: '/live/*', upstream: 'live' },
      { name: `work-${state.route}`, path: '/*', upstream: 'origin' },
    ],
    plugins: { witness: { config: { value: state.config } } },
  }
}

export const PLUGINS: Readonly<Record<string, Readonly<Record<string, FileContents>>>> = {
  stamp: {
    'plugin.json': { name: 'stamp', version: '1.0.0', description: 'Swapped by code' },
    'plugin.ts': stampCode(FIRST_STATE.code),
  },
  witness: {
    'plugin.json': {
      name: 'witness',
      version: '1.0.0',
      description: 'Swapped by config',
      config: { value: 0 },
      config_schema: {
        type: 'object',
        properties: { value: { type: 'integer' } },
        additionalProperties: false,
      },
    },
    'plugin.ts': `import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main<{ value: number }> = ({ value }) => ({
  name: 'witness',
  handle(ctx) {
    ctx.values.set('witness', value)
    ctx.request.headers.set('x-witness', String(value))
    return true
  },
  onResponse(ctx) {
    const same = ctx.values.get('witness') === value
    ctx.response.headers.set('x-witness', same ? String(value) : 'mixed')
  },
})
`,
  },
}

/**
 * The source of `stamp`. It marks request and response, counts exchanges whose hooks came from two generations, and
 * tells at /probe what its worker holds after garbage was collected, at /probe/as-it-is without that.
 */
export function stampCode(code: number): string {
  return `import type { PluginMain as Main } from '@cardea/sdk'

const CODE = ${code}

export const PluginMain: Main = (_config, host) => {
  const counts = host.state('counts', 1, () => ({ mixed: 0 }))
  return {
    name: 'stamp',
    handle(ctx) {
      ctx.values.set('stamp', CODE)
      if (ctx.request.path === '/probe') return ctx.response.json(probe(counts.value.mixed, true))
      if (ctx.request.path === '/probe/as-it-is') return ctx.response.json(probe(counts.value.mixed, false))
      ctx.request.headers.set('x-stamp', String(CODE))
      return true
    },
    onResponse(ctx) {
      if (ctx.values.get('stamp') !== CODE) counts.value.mixed++
      ctx.response.headers.set('x-stamp', String(CODE))
      ctx.response.headers.set('x-route', ctx.route.name)
    },
    onFinish(ctx) {
      if (ctx.values.get('stamp') !== CODE) counts.value.mixed++
    },
  }
}

function probe(mixed: number, collects: boolean) {
  const { gc } = globalThis as { gc?: (how: object) => void }
  // Once more and again until nothing is freed, and free pages given back: else resident memory is mostly chance.
  if (collects) gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  const { heapUsed, rss, external } = process.memoryUsage()
  return { pid: process.pid, isCollected: gc !== undefined, heapBytes: heapUsed, rssBytes: rss, externalBytes: external, mixed }
}
`
}
