import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONFIG_TEXT_LENGTH_MAX, parseText } from './document.ts'

function reasonOf(text: string, file = 'cardea.yaml') {
  const result = parseText(text, file)
  const [problem] = result.ok ? assert.fail('it was parsed') : result.problems
  return problem ?? assert.fail()
}

function parsed(text: string, file = 'cardea.yaml'): unknown {
  const result = parseText(text, file)
  return result.ok ? result.parsed.value : assert.fail(result.problems[0]?.message)
}

for (const [what, text, line, column] of [
  ['a key that stands twice', 'a: 1\nb: 2\na: 3\n', 3, 1],
  ['a key that stands twice in flow form', 'x: { a: 1, a: 2 }\n', 1, 12],
  ['an unknown tag', 'a: !env HOME\n', 1, 4],
  ['a second document', 'a: 1\n---\nb: 2\n', 2, 1],
  ['a key that is no string', '? [a]\n: 1\n', 1, 3],
  ['an open bracket', 'a: [1, 2\nb: 3\n', 2, 1],
  ['a tab as indentation', 'a:\n\tb: 1\n', 2, 1],
  ['the key __proto__', 'a:\n  __proto__: { x: 1 }\n', 2, 3],
  ['an alias without an anchor', 'a: *x\n', 1, 4],
  ['a set, which no check would see into', 'a: !!set { b }\n', 1, 4],
  ['an ordered map', 'a: !!omap [b: 1]\n', 1, 4],
  ['binary data', 'a: !!binary aGk=\n', 1, 4],
  ['YAML 1.1', '%YAML 1.1\n---\na: yes\n', 1, 1],
  ['a merge key', 'a: &a { x: 1 }\nb:\n  <<: *a\n', 3, 3],
] as const) {
  test(`parseText() refuses ${what} and says where`, () => {
    const problem = reasonOf(text)
    assert.equal(problem.code, 'CONFIG_SYNTAX')
    assert.deepEqual([problem.line, problem.column], [line, column])
  })
}

test('parseText() refuses aliases that expand without bound', () => {
  const levels = Array.from({ length: 12 }, (_, level) => {
    const below =
      level === 0
        ? '"x"'
        : Array(9)
            .fill(`*a${level - 1}`)
            .join(', ')
    return `a${level}: &a${level} [${below}]`
  })
  assert.match(reasonOf(levels.join('\n')).message, /aliases expand too far/)
})

test('parseText() takes one anchor for any number of places, as long as they are not too much', () => {
  const uses = (count: number) =>
    `a: &a { b: 1 }\n${Array.from({ length: count }, (_, i) => `c${i}: *a\n`).join('')}`
  assert.deepEqual(Object.keys(parsed(uses(2_000)) as object).length, 2_001)
  const large = `a: &a [${'0, '.repeat(20_000)}]\nb: [${'*a, '.repeat(60)}]\n`
  assert.match(reasonOf(large).message, /aliases expand too far/)
})

test('parseText() refuses an alias inside its own anchor', () => {
  const problem = reasonOf('a: &a [*a]\n')
  assert.match(problem.message, /holds itself/)
  assert.equal(problem.column, 8)
})

test('parseText() refuses nesting that would exhaust the stack', () => {
  assert.equal(reasonOf('['.repeat(100_000)).code, 'CONFIG_SYNTAX')
  assert.equal(reasonOf(`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'plugin.json').code, 'CONFIG_SYNTAX')
})

test('parseText() refuses a text that is far too long', () => {
  assert.match(reasonOf(' '.repeat(CONFIG_TEXT_LENGTH_MAX + 1)).message, /longer than/)
})

for (const [what, text] of [
  ['a trailing comma', '{\n  "a": 1,\n}'],
  ['single quotes', "{\n  'a': 1\n}"],
  ['YAML', 'a: 1'],
  ['nothing', ''],
  ['an unterminated comment', '{ "a": 1 /* }'],
] as const) {
  test(`parseText() refuses ${what} in a JSON file`, () => {
    assert.equal(reasonOf(text, 'plugin.json').code, 'CONFIG_SYNTAX')
  })
}

test('parseText() finds a key that stands twice in a JSON file', () => {
  const problem = reasonOf('{\n  "a": 1,\n  "a": 2\n}', 'plugin.json')
  assert.deepEqual([problem.line, problem.column], [3, 3])
})

for (const [what, text, column] of [
  ['a key that stands twice, once escaped', '{ "a": 1, "\\u0061": 2 }', 11],
  [
    'a key that stands twice behind strings that look like keys',
    '{ "x": "\\"a\\": 1", "b": { "a" : 1, "a" : [] } }',
    36,
  ],
  ['the key __proto__', '{ "x": [{ "__proto__": {} }] }', 11],
  ['the key __proto__, escaped', '{ "x": [{ "\\u005f_proto__": {} }] }', 11],
] as const) {
  test(`parseText() refuses ${what} in a JSON file`, () => {
    const problem = reasonOf(text, 'plugin.json')
    assert.deepEqual([problem.code, problem.line, problem.column], ['CONFIG_SYNTAX', 1, column])
  })
}

test('parseText() tells the places of a JSON file as those of YAML', () => {
  const text = '{ // first\n  "a": { "b:": ["\\"x\\": 1", { "c": null }] }\n}'
  const [json, yaml] = ['plugin.json', 'plugin.yaml'].map((file) => {
    const result = parseText(text.replace('// first', ''), file)
    assert.ok(result.ok)
    const { locate, locateKey } = result.parsed
    return ['', '/a', '/a/b:/1/c', '/a/nowhere']
      .flatMap((at) => [locate(at), locateKey(at)])
      .map(({ line, column }) => [line, column])
  })
  assert.deepEqual(json, yaml)
  assert.deepEqual(json?.[4], [2, 36])
})

test('parseText() names the place of a syntax error in a JSON file behind comments', () => {
  const problem = reasonOf('{ // "x"\n  "a": tru\n}', 'plugin.json')
  assert.deepEqual([problem.line, problem.column], [2, 8])
})

test('parseText() takes JSON with comments, tabs and escapes', () => {
  const text =
    '{\n\t// a comment with "quotes"\n\t"a": "\\ud83d\\ude00 // no comment", /* b\n*/ "b": [1E2, null, true]\n}'
  assert.deepEqual(parsed(text, 'plugin.json'), { a: '😀 // no comment', b: [100, null, true] })
})

test('parseText() follows YAML 1.2: only true and false are booleans, keys stay strings', () => {
  assert.deepEqual(parsed('a: yes\nb: off\nc: true\n80: x\nd: 010\n'), {
    a: 'yes',
    b: 'off',
    c: true,
    '80': 'x',
    d: 10,
  })
})

test('parseText() takes "<<" in quotes for a name', () => {
  assert.deepEqual(parsed('"<<": 1\n'), { '<<': 1 })
})

for (const text of [
  'listen: [{ port: ${PORT} }]\nworkers: 1\n',
  'a: [${A}]\n',
  'a: { b: http://${HOST}:80 }\n',
]) {
  test(`parseText() asks for quotes, and for nothing else, in ${JSON.stringify(text)}`, () => {
    const result = parseText(text, 'cardea.yaml')
    assert.ok(!result.ok)
    assert.deepEqual(
      result.problems.map(({ message }) => message),
      [
        'The file cannot be parsed: inside of { } and [ ] a value with "${…}" has to stand in quotes, as in "${PORT}".',
      ],
    )
  })
}

for (const [text, said] of [
  ['host: *.example.com\n', /"\*\.example\.com" has no anchor before it; .* in quotes/],
  ['origins: [*]\n', /begins with "\*" has to stand in quotes/],
  ['a:\n  port:8080\n  b: 1\n', /between a key and its value ":" and a space/],
  ['a: b: c\n', /quote a value that has ": " in it/],
] as const) {
  test(`parseText() says what is wrong with ${JSON.stringify(text)}`, () => {
    assert.match(reasonOf(text).message, said)
  })
}

test('parseText() reports every key that stands twice, and no after-effect of an error', () => {
  const result = parseText('a: 1\na: 2\n"b c": 1\n"b c": 2\nd: [1\ne: 2\nf: 3\n', 'cardea.yaml')
  assert.ok(!result.ok)
  assert.deepEqual(
    result.problems.map(({ message }) => message.replace('The file cannot be parsed: ', '')).sort(),
    [
      'Flow sequence in block collection must be sufficiently indented and end with a ].',
      'the key "a" stands twice in one object.',
      'the key "b c" stands twice in one object.',
    ],
  )
})

for (const [what, text, name, key, line, column] of [
  ['in a block', 'routes:\n  - {}\nroutes:\n  - {}\n', 'routes', 'routes', 3, 1],
  ['deep in blocks', 'limits:\n  head_bytes: 1\n  head_bytes: 2\n', 'head_bytes', 'limits.head_bytes', 3, 3],
  ['in a flow map of a list', 'routes: [{}, { path: a, path: b }]\n', 'path', 'routes[1].path', 1, 25],
  ['in single quotes', "'x-a b': 1\n'x-a b': 2\n", 'x-a b', '["x-a b"]', 2, 1],
  ['in double quotes, once escaped', 'a: { "b\\"c": 1, "\\x62\\"c": 2 }\n', 'b"c', 'a["b\\"c"]', 1, 17],
  ['plain and in quotes', 'path: a\n"path": b\n', 'path', 'path', 2, 1],
  ['of several bytes a character', '路由: { 名称😀: 1, 名称😀: 2 }\n', '名称😀', '["路由"]["名称😀"]', 1, 16],
  ['behind an anchor and a tag', 'a: 1\n&x !!str a: 2\n', 'a', 'a', 2, 10],
  ['of a slash', 'a/b: { c: 1, c: 2 }\n', 'c', '["a/b"].c', 1, 14],
] as const) {
  test(`parseText() names the whole key that stands twice ${what}, and where it is`, () => {
    const problem = reasonOf(text)
    const given = JSON.stringify(name)
    assert.equal(problem.message, `The file cannot be parsed: the key ${given} stands twice in one object.`)
    assert.deepEqual(
      [problem.key, problem.given, problem.expected],
      [key, given, 'each key once in an object'],
    )
    assert.deepEqual([problem.line, problem.column], [line, column])
  })
}

test('parseText() names the whole key that stands twice in a JSON file, and shortens a long one', () => {
  const problem = reasonOf('{\n  "config": { "key id": 1, "key id": 2 }\n}', 'plugin.json')
  assert.equal(problem.key, 'config["key id"]')
  assert.match(problem.message, /the key "key id" stands twice/)
  const long = 'k'.repeat(5_000)
  assert.ok(reasonOf(`${long}: 1\n${long}: 2\n`).message.length < 200)
})

test('locate() finds values and keys, through lists and aliases', () => {
  const result = parseText('a: &x\n  b: [1, two]\nc: *x\n', 'cardea.yaml')
  assert.ok(result.ok)
  const { locate, locateKey } = result.parsed
  assert.deepEqual(locate('/a/b/1'), { file: 'cardea.yaml', line: 2, column: 10 })
  assert.deepEqual(locateKey('/a/b'), { file: 'cardea.yaml', line: 2, column: 3 })
  assert.deepEqual(locate('/c/b/1'), { file: 'cardea.yaml', line: 2, column: 10 })
})

test('locate() gives the nearest container for what the file does not hold', () => {
  const result = parseText('a:\n  b: 1\n', 'cardea.yaml')
  assert.ok(result.ok)
  assert.deepEqual(result.parsed.locate('/a/x/y'), { file: 'cardea.yaml', line: 2, column: 3 })
})
