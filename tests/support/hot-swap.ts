import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { type DataPlaneSpec, type PluginSpec, startDataPlane, type TestDataPlane } from './data-plane.ts'
import { RecordingUpstream, type UpstreamScript } from './recording-upstream.ts'
import { TestConnection, type TestResponse } from './test-connection.ts'
import { waitFor } from './wait-for.ts'

/** For tests of generations that follow one another in one data plane. */

/** What one exchange saw, hook by hook: more than one number in a line is a broken promise. */
export type Seen = Map<string, Set<string>>

/** A plugin of one generation that notes in each hook whose it is, and says so in the response. */
export function witness(version: number, seen: Seen): PluginSpec {
  const note = (id: string, what: string): void => {
    const all = seen.get(id) ?? new Set()
    seen.set(id, all.add(what))
  }
  return {
    key: `v${version}`,
    middleware: {
      name: 'witness',
      handle(ctx) {
        note(ctx.id, `v${version}`)
        ctx.response.headers.set('x-handled-by', `v${version}`)
        return true
      },
      onResponse(ctx) {
        note(ctx.id, `v${version}`)
        ctx.response.headers.set('x-answered-by', `v${version}`)
      },
      onError: (ctx) => note(ctx.id, `v${version}`),
      onFinish(ctx, { generation }) {
        note(ctx.id, `v${version}`)
        note(ctx.id, `v${generation}`)
      },
    },
  }
}

export interface Served extends TestDataPlane {
  readonly upstream: RecordingUpstream
  readonly seen: Seen
  /** Commits the next generation, whose witness has its number. Returns that. */
  next(spec?: DataPlaneSpec): number
  open(): Promise<TestConnection>
}

export async function serve(
  t: TestContext,
  script?: UpstreamScript,
  spec: DataPlaneSpec = {},
): Promise<Served> {
  const upstream = await RecordingUpstream.start(script)
  t.after(() => upstream[Symbol.asyncDispose]())
  const seen: Seen = new Map()
  let version = 1
  const specOf = (more: DataPlaneSpec): DataPlaneSpec => ({
    to: upstream.url,
    ...spec,
    ...more,
    plugins: [witness(version, seen)],
  })
  const gateway = await startDataPlane(t, specOf({}))
  const next = (more: DataPlaneSpec = {}): number => {
    version++
    gateway.swap(specOf(more))
    return version
  }
  return { ...gateway, upstream, seen, next, open: () => TestConnection.open(t, gateway.port) }
}

/** Which generation handled and answered it; one word if that was one. */
export function versionsOf(response: TestResponse): string {
  const versions = new Set([response.field('x-handled-by'), response.field('x-answered-by')])
  return [...versions].join(' then ')
}

export function assertOneEach(seen: Seen): void {
  for (const [id, versions] of seen) assert.equal(versions.size, 1, `${id} saw ${[...versions].join(', ')}`)
}

/** Every generation before the one at hand has ended, and its instance was stopped. */
export async function allRetired({ plane, stopped }: TestDataPlane, current: number): Promise<void> {
  await waitFor(() => plane.census().generations.length === 1, 'the older generations to end')
  const expected = Array.from({ length: current - 1 }, (_, index) => `v${index + 1}`)
  assert.deepEqual(new Set(stopped), new Set(expected))
  assert.equal(stopped.length, expected.length, 'each was stopped once')
}
