import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ERRORS } from '../base/errors.ts'
import { editorSchema } from './editor-schema.ts'
import { referenceFiles, staleFiles, withMadePart } from './generate-reference.ts'
import { isObject } from './pointer.ts'
import { errorsIndex } from './reference-markdown.ts'
import { CARDEA_JSON_SCHEMA } from './schema.ts'
import { MANIFEST_JSON_SCHEMA } from './schema-plugin.ts'
import { compileSchema } from './validator.ts'

test('generate-reference has been run since the last change of a schema or the error table', async () => {
  assert.deepEqual(await staleFiles(), [])
})

/** Every key of a schema with what describes it. */
function* keysOf(
  schema: unknown,
  path = '',
): Generator<[path: string, schema: Readonly<Record<string, unknown>>]> {
  if (!isObject(schema)) return
  for (const [key, member] of Object.entries(isObject(schema.properties) ? schema.properties : {})) {
    const at = path === '' ? key : `${path}.${key}`
    if (isObject(member)) yield [at, member]
    yield* keysOf(member, at)
  }
  yield* keysOf(schema.items, `${path}[]`)
  yield* keysOf(schema.additionalProperties, `${path}.NAME`)
  for (const branch of Array.isArray(schema.anyOf) ? schema.anyOf : []) yield* keysOf(branch, path)
}

for (const [name, schema] of [
  ['cardea.yaml', CARDEA_JSON_SCHEMA],
  ['plugin.json', MANIFEST_JSON_SCHEMA],
] as const) {
  test(`the schema of ${name} describes every key`, () => {
    const keys = [...keysOf(schema)]
    assert.ok(keys.length > 15)
    const silent = keys.filter(
      ([, { description }]) => typeof description !== 'string' || description.length < 10,
    )
    assert.deepEqual(
      silent.map(([path]) => path),
      [],
    )
  })

  test(`the schema of ${name} is a JSON Schema`, () => {
    const compiled = compileSchema(schema)
    assert.ok(compiled.ok, compiled.ok ? '' : `${compiled.pointer}: ${compiled.reason}`)
  })

  test(`the schema of ${name} accepts its own defaults`, () => {
    for (const [path, key] of keysOf(schema)) {
      if (!('default' in key)) continue
      const compiled = compileSchema(key)
      assert.ok(compiled.ok && compiled.validator.check(key.default).length === 0, path)
    }
  })
}

test('the error table names only keys that cardea.yaml has', () => {
  const keys = new Set([...keysOf(CARDEA_JSON_SCHEMA)].map(([path]) => path))
  const named = Object.values(ERRORS).flatMap(({ cause, cure }) =>
    [...`${cause} ${cure}`.matchAll(/`((?:limits|timeouts|queue|eject)\.[a-z_]+)`( of the upstream)?/g)].map(
      ([, key = '', ofUpstream]) => ({ key, ofUpstream: ofUpstream !== undefined }),
    ),
  )
  assert.ok(named.length > 10)
  for (const { key, ofUpstream } of named) {
    assert.ok(keys.has(`upstreams.NAME.${key}`) || (!ofUpstream && keys.has(key)), key)
  }
})

test('referenceFiles() has a heading for every error code', () => {
  const page = referenceFiles().get('docs/reference/errors.md') ?? ''
  for (const code of Object.keys(ERRORS)) assert.ok(page.includes(`### ${code}\n`), code)
})

test('errorsIndex() links every error code to its place in the reference', () => {
  const index = errorsIndex()
  for (const code of Object.keys(ERRORS)) {
    assert.ok(index.includes(`| [${code}](../reference/errors.md#${code.toLowerCase()}) |`), code)
  }
})

test('withMadePart() throws for a page without the marks, in their order', () => {
  assert.throws(() => withMadePart('# Page', 'part'), /Cannot find the part to make/)
})

test('editorSchema() lets a variable stand for any scalar, where variables are replaced', () => {
  const accepts = (variables: boolean, value: unknown) => {
    const compiled = compileSchema(editorSchema(CARDEA_JSON_SCHEMA, 'urn:test', variables))
    return compiled.ok ? compiled.validator.check(value).length === 0 : assert.fail(compiled.reason)
  }
  const value = {
    listen: [{ port: '${PORT}' }],
    workers: '${WORKERS:-auto}',
    limits: { head_bytes: '${HEAD}' },
    plugins: { cors: '${CORS}', auth: { priority: '${PRIORITY}' } },
  }
  assert.equal(accepts(true, value), true)
  assert.equal(accepts(false, value), false)
  assert.equal(accepts(true, { listen: [{ port: 'PORT' }] }), false)
  assert.equal(accepts(true, { limits: { head_bytes: '5 apples' } }), false)
})
