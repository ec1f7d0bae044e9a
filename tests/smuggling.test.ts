import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Attack } from './smuggling/attack.ts'
import { CHUNKS } from './smuggling/chunks.ts'
import { FRAMING } from './smuggling/framing.ts'
import { HEADS } from './smuggling/heads.ts'
import { CUTS, carryOut, lineOf, StrictUpstream, withId } from './smuggling/stage.ts'
import { type GatewayOptions, startGateway } from './support/gateway.ts'

/**
 * Requests that two servers could read in two ways. An upstream that reads only the narrowest form of HTTP must see
 * exactly the requests that the RFC grants the client, and the client gets exactly their answers.
 */

/** At one time, so that requests of several attacks follow one another on the same upstream connections. */
const LANES = 8

for (const [name, attacks] of Object.entries({ framing: FRAMING, chunks: CHUNKS, heads: HEADS })) {
  test(`ambiguous ${name} reach no upstream, whole or cut anywhere`, async (t) => {
    assert.deepEqual(await failuresOf(t, attacks), [])
  })
}

/** Bodies that a plugin has held in its hands are framed anew. */
const TOUCHING_BODIES: Readonly<Record<string, string>> = {
  gathered: `async handle(ctx) { ctx.request.setBody(await ctx.request.bytes()); return true }`,
  transformed: `handle(ctx) { ctx.request.transformBody((chunk) => chunk); return true }`,
}

for (const [name, handle] of Object.entries(TOUCHING_BODIES)) {
  test(`ambiguous bodies that a plugin has ${name} reach no upstream either`, async (t) => {
    const plugin = {
      'plugin.json': { name: 'touch', version: '1.0.0' },
      'plugin.ts': `export const PluginMain = () => ({ name: 'touch', ${handle} })`,
    }
    assert.deepEqual(await failuresOf(t, [...FRAMING, ...CHUNKS], { touch: plugin }), [])
  })
}

test('the corpus is as large as it has to be, and names each attack once', () => {
  const names = [...FRAMING, ...CHUNKS, ...HEADS].map((attack) => attack.name)
  assert.ok(names.length >= 300, `${names.length} attacks`)
  for (const attacks of [FRAMING, CHUNKS, HEADS]) {
    assert.equal(new Set(attacks.map((attack) => attack.name)).size, attacks.length)
  }
})

interface Run {
  readonly attack: Attack
  readonly cut: number
  readonly id: string
}

async function failuresOf(
  t: TestContext,
  attacks: readonly Attack[],
  plugins: GatewayOptions['plugins'] = {},
): Promise<string[]> {
  await using upstream = await StrictUpstream.start()
  const gateway = await startGateway(t, {
    config: {
      workers: 1,
      upstreams: { app: { targets: [upstream.url] } },
      routes: [{ name: 'app', path: '/*', upstream: 'app' }],
      log: { level: 'error' },
    },
    plugins,
  })
  const runs = CUTS.flatMap((_, cut) => attacks.map((attack) => ({ attack, cut })))
  const todo: Run[] = runs.map((run, index) => ({ ...run, id: `id${String(index + 1).padStart(4, '0')}` }))
  const failures: string[] = []
  const fail = ({ attack, cut }: Run, what: string): void =>
    void failures.push(`${attack.name} (cut ${cut}): ${what}`)
  const next = todo[Symbol.iterator]()
  const lane = async (): Promise<void> => {
    for (const run of next) {
      const wrong = await carryOut(gateway.port, run.attack, run.id, CUTS[run.cut] ?? ((text) => [text]))
      if (wrong !== null) fail(run, wrong)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  // Whatever was on its way to the upstream is there when this, sent last, is answered.
  assert.equal((await fetch(`${gateway.url}/barrier`)).status, 200)
  for (const run of todo) {
    const wrong = wrongAtUpstream(upstream, run)
    if (wrong !== null) fail(run, wrong)
  }
  assert.equal(upstream.seenBy('').length, 1)
  assert.equal(gateway.stderr, '')
  return [...failures, ...upstream.violations]
}

function wrongAtUpstream(upstream: StrictUpstream, { attack, id }: Run): string | null {
  const expected = attack.after === 'open' ? [...attack.seen, 'GET /last?id0000 '] : attack.seen
  const requests = upstream.seenBy(id)
  const seen = requests.map(lineOf)
  if (seen.join('\n') !== expected.map((line) => withId(line, id)).join('\n')) {
    return `the upstream saw ${JSON.stringify(seen)}`
  }
  try {
    for (const request of requests) attack.check?.(request)
    return null
  } catch (error) {
    return String(error)
  }
}
