import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { buildSync } from 'esbuild'
import { withTempDir } from '../../../tests/support/temp-dir.ts'
import * as fromSource from '../src/config/own-schemas.ts'
import { isObject } from '../src/config/pointer.ts'
import type { SchemaError } from '../src/config/validator.ts'
import { writeOwnSchemas } from './bundle.js'

const VALUES: readonly unknown[] = [
  ...[null, true, false, -1, 0, 1.5, 8080, 1e12],
  ...['', 'x', 'é', 'Bad Name!', 'auto', 'open', '5s', '0.5ms', '1ms', '64KiB', '1B', '1.0.0', '^1.0.0'],
  ...[[], [1, 1], ['x', 'x'], [{}], {}, { a: 1 }, { 'Bad Name!': 1 }, { fallback: { status: 99 } }],
]

/** Of every part of a schema: how a value gets to stand there. */
function* placesIn(
  schema: unknown,
  put: (value: unknown) => unknown,
): Generator<(value: unknown) => unknown> {
  if (!isObject(schema)) return
  yield put
  const { properties, items, additionalProperties, anyOf } = schema
  for (const [key, part] of Object.entries(isObject(properties) ? properties : {})) {
    yield* placesIn(part, (value) => put({ [key]: value }))
  }
  yield* placesIn(items, (value) => put([value]))
  yield* placesIn(additionalProperties, (value) => put({ 'a-name': value }))
  for (const part of Array.isArray(anyOf) ? anyOf : []) yield* placesIn(part, put)
}

test('schemas compiled by the build find what those of the sources find, and say it in the same way', async () => {
  await using dir = await withTempDir()
  const outfile = join(dir.path, 'own-schemas.mjs')
  const banner = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)`
  buildSync({
    entryPoints: [writeOwnSchemas()],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    banner: { js: banner },
    logLevel: 'silent',
  })
  const compiled = (await import(pathToFileURL(outfile).href)) as typeof fromSource
  assert.deepEqual(compiled.pluginSettingNames, fromSource.pluginSettingNames)
  assert.ok(compiled.pluginSettingNames.includes('config'))
  const keywords = new Set<string>()
  for (const [{ schema, validator }, other] of [
    [fromSource.cardea, compiled.cardea],
    [fromSource.manifest, compiled.manifest],
  ] as const) {
    assert.deepEqual(other.schema, schema)
    const places = [...placesIn(schema, (value) => value)]
    assert.ok(places.length > 20, `${places.length} places`)
    for (const place of places) {
      for (const value of VALUES) {
        const errors: SchemaError[] = validator.check(place(value))
        assert.deepEqual(other.validator.check(place(value)), errors)
        for (const { keyword } of errors) keywords.add(keyword)
      }
    }
  }
  const checked = 'additionalProperties anyOf const enum format formatMinimum maximum minItems minLength'
  const further = 'minimum pattern propertyNames required type uniqueItems'
  const missing = `${checked} ${further}`.split(' ').filter((keyword) => !keywords.has(keyword))
  assert.deepEqual(missing, [])
})
