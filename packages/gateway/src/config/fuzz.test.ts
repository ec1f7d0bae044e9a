import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadConfigFile } from './load.ts'
import { planSettings } from './plan.ts'
import { renderProblems } from './render-problems.ts'

const VALID = {
  listen: [{ port: 0 }],
  workers: 'auto',
  upstreams: { api: { targets: ['https://127.0.0.1:3000'], tls: { verify: true }, queue: { max: 1 } } },
  routes: [
    {
      name: 'a',
      hosts: ['a.example'],
      path: '/u/:id',
      headers: { 'x-a': true },
      upstream: 'api',
      rewrite: '/:id',
      plugins: { cors: false, auth: { config: { a: 1 }, on_failure: { fallback: {} } } },
    },
  ],
  plugins: { cors: {} },
  limits: { head_bytes: '1KiB' },
  trusted_proxies: ['10.0.0.0/8'],
}

/** Every pointer-like path of the valid config, as lists of keys. */
function pathsOf(value: unknown, path: readonly string[] = []): string[][] {
  const members = typeof value === 'object' && value !== null ? Object.entries(value) : []
  return [[...path], ...members.flatMap(([key, member]) => pathsOf(member, [...path, key]))]
}

function replaced(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by
  const copy = structuredClone(value) as Record<string, unknown>
  copy[key] = replaced(copy[key], rest, by)
  return copy
}

/** The same values in every run; `CARDEA_FUZZ_SEED` looks at others. */
const SEED = Number(process.env.CARDEA_FUZZ_SEED ?? 1_301_408_024)

test('loadConfigFile() never throws: a value of any form at any place is a problem or a plan', async () => {
  let accepted = 0
  let refused = 0
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...pathsOf(VALID)),
      fc.oneof(
        fc.jsonValue({ maxDepth: 3 }),
        fc.constantFrom(0, 1, true, null, 'auto', '/', '*', ':', 'http://a'),
      ),
      async (path, value) => {
        const text = JSON.stringify(replaced(VALID, path, value))
        const result = await loadConfigFile('/etc/cardea.json', { env: {}, readFile: async () => text })
        if (result.ok) {
          accepted++
          planSettings(result.config)
          return
        }
        refused++
        assert.ok(result.problems.length > 0)
        // What is left of it is checked further.
        planSettings(result.part?.config ?? assert.fail())
        for (const { line, column, message, expected } of result.problems) {
          assert.ok(line >= 1 && column >= 1 && message !== '' && expected !== '')
        }
        renderProblems(result.problems, { textOf: () => text })
      },
    ),
    { numRuns: 1_000, seed: SEED },
  )
  assert.ok(accepted > 20 && refused > 20, `${accepted} accepted, ${refused} refused`)
})
