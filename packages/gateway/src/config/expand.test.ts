import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expandVariables, sourceMapOf } from './expand.ts'
import { readerOf } from './test-support.ts'

const place = { file: 'cardea.yaml', line: 1, column: 1 }
const env = { NAME: 'value', EMPTY: '', NESTED: '${NAME} $$', toString: undefined }
const readFile = readerOf({
  '/run/key': 'secret\n',
  '/etc/ca.pem': 'one\ntwo\r\n',
  '/big': 'x'.repeat(1024 * 1024 + 1),
})

async function expand(value: unknown) {
  const source = sourceMapOf('cardea.yaml', { locate: () => place, locateKey: () => place }, value, new Set())
  return expandVariables(value, source, { env, directory: '/etc', readFile })
}

for (const [text, code, message] of [
  ['${ABSENT}', 'CONFIG_VARIABLE_MISSING', /The variable ABSENT is not set/],
  ['a ${file:/absent} b', 'CONFIG_VARIABLE_MISSING', /\$\{file:\/absent\} cannot be read \(ENOENT\)/],
  ['${file:}', 'CONFIG_VARIABLE_MISSING', /has no name/],
  ['${file:/big}', 'CONFIG_VARIABLE_MISSING', /longer than/],
  ['${NAME', 'CONFIG_INVALID', /is not a variable/],
  ['${}', 'CONFIG_INVALID', /is not a variable/],
  ['${na me}', 'CONFIG_INVALID', /is not a variable/],
  ['${1A}', 'CONFIG_INVALID', /is not a variable/],
  ['${NAME-x}', 'CONFIG_INVALID', /is not a variable/],
  ['${ABSENT:-${NAME}}', 'CONFIG_INVALID', /a variable inside of another/],
  ['${file:/run/${NAME}/key}', 'CONFIG_INVALID', /a variable inside of another/],
  ['${hasOwnProperty}', 'CONFIG_VARIABLE_MISSING', /not set/],
] as const) {
  test(`expandVariables() reports ${text}`, async () => {
    const { problems } = await expand({ key: [text] })
    assert.equal(problems.length, 1)
    assert.equal(problems[0]?.code, code)
    assert.equal(problems[0]?.key, 'key[0]')
    assert.equal(problems[0]?.given, JSON.stringify(text))
    assert.match(problems[0]?.message ?? '', message)
  })
}

for (const [text, wanted] of [
  ['${NAME}', 'value'],
  ['a${NAME}b${NAME}', 'avaluebvalue'],
  ['${EMPTY}', ''],
  ['${EMPTY:-x}', 'x'],
  ['${ABSENT:-}', ''],
  ['${ABSENT:-http://a:1/}', 'http://a:1/'],
  ['${file:/run/key}', 'secret'],
  ['${file:ca.pem}', 'one\ntwo'],
  ['$$', '$'],
  ['$${NAME}', '${NAME}'],
  ['$$${NAME}', '$value'],
  ['^a$', '^a$'],
  ['$1', '$1'],
] as const) {
  test(`expandVariables() makes ${JSON.stringify(wanted)} of ${text}`, async () => {
    assert.deepEqual((await expand([text])).value, [wanted])
  })
}

test('expandVariables() does not look again at what it put in', async () => {
  assert.deepEqual((await expand({ a: '${NESTED}' })).value, { a: '${NAME} $$' })
})

test('expandVariables() leaves keys alone and the given value unchanged', async () => {
  const value = { '${NAME}': 1, a: '${NAME}' }
  assert.deepEqual((await expand(value)).value, { '${NAME}': 1, a: 'value' })
  assert.equal(value.a, '${NAME}')
})

test('expandVariables() says which strings held a variable; an escape is none', async () => {
  const { expanded } = await expand({ a: ['x', '${NAME}'], 'b/c': '${EMPTY:-d}', d: '$$' })
  assert.deepEqual([...expanded], ['/a/1', '/b~1c'])
})

test('expandVariables() expands every place of a shared object on its own', async () => {
  const shared = { x: '${NAME}' }
  const { value } = await expand({ a: shared, b: shared })
  assert.deepEqual(value, { a: { x: 'value' }, b: { x: 'value' } })
  assert.notEqual((value as { a: unknown }).a, (value as { b: unknown }).b)
})
