import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyPatch } from 'diff'
import { unifiedDiff } from './text-diff.ts'

const lines = (count: number, text: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => `${text(index)}\n`).join('')

test('unifiedDiff() of equal texts is empty', () => {
  assert.equal(unifiedDiff('a', 'x\n', 'b', 'x\n'), '')
  assert.equal(unifiedDiff('a', '', 'b', ''), '')
})

test('unifiedDiff() shows what differs between three lines of context', () => {
  const from = lines(9, (index) => `${index}`)
  assert.equal(
    unifiedDiff('generation 12', from, 'cardea.yaml', from.replace('4\n', 'four\n')),
    `--- generation 12
+++ cardea.yaml
@@ -2,7 +2,7 @@
 1
 2
 3
-4
+four
 5
 6
 7
`,
  )
})

test('unifiedDiff() says where the last line has no end', () => {
  assert.equal(
    unifiedDiff('a', 'x', 'b', 'x\n'),
    '--- a\n+++ b\n@@ -1,1 +1,1 @@\n-x\n\\ No newline at end of file\n+x\n',
  )
})

test('unifiedDiff() keeps carriage returns: they are a difference', () => {
  assert.match(unifiedDiff('a', 'x\n', 'b', 'x\r\n'), /^-x\n\+x\r$/m)
})

test('unifiedDiff() leads from the one text to the other', () => {
  const from = lines(60, (index) => `line ${index % 7}`)
  const to = lines(55, (index) => `line ${(index * index) % 7}`)
  for (const [before, after] of [
    [from, to],
    [from, ''],
    ['', to],
    [`${from}end`, `${to}other end`],
  ] as const) {
    assert.equal(applyPatch(before, unifiedDiff('a', before, 'b', after)), after)
  }
})

test('unifiedDiff() of texts that have nothing in common replaces one by the other, in bounded time', () => {
  const from = `${lines(9_000, (index) => `a ${index}`)}end`
  const to = lines(9_000, (index) => `b ${index}`)
  const diff = unifiedDiff('a', from, 'b', to)
  assert.ok(diff.startsWith('--- a\n+++ b\n@@ -1,9001 +1,9000 @@\n-a 0\n-a 1\n'))
  assert.equal(applyPatch(from, diff), to)
})
