import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { editedSearch } from './edited-search.ts'

function afterEdit(sent: string, edit: (query: URLSearchParams) => void): string {
  const query = new URLSearchParams(sent)
  const asRead = query.toString()
  edit(query)
  return editedSearch(sent, asRead, query.toString())
}

const CASES: [what: string, sent: string, edit: (query: URLSearchParams) => void, left: string][] = [
  ['nothing', '?a=%7e&&b+c', () => {}, '?a=%7e&&b+c'],
  ['a pair taken out', '?a=%C4%E3&k=1&b=c%20d&flag', (q) => q.delete('k'), '?a=%C4%E3&b=c%20d&flag'],
  ['a name in every spelling', '?%6b=1&a&k&k=&%6B=2=3&k=4;b=5', (q) => q.delete('k'), '?a'],
  ['one value of a name', '?a=1&a=%32&a=3', (q) => q.delete('a', '2'), '?a=1&a=3'],
  ['the only pair taken out', '?k=1', (q) => q.delete('k'), ''],
  ['the only pair of one with separators', '?&k=1&', (q) => q.delete('k'), '?&'],
  ['a name with a question mark', '??k=1&?k=2&k=3', (q) => q.delete('?k'), '?k=3'],
  ['another name of that kind', '??k=1&?k=2&k=3', (q) => q.delete('k'), '??k=1&?k=2'],
  ['a pair without a name', '?=1&a=2', (q) => q.delete(''), '?a=2'],
  ['a pair added', '?a=%7e&b', (q) => q.append('c', 'd e'), '?a=%7e&b&c=d+e'],
  ['a pair added where there was none', '', (q) => q.append('c', '&'), '?c=%26'],
  ['a pair added to a lone question mark', '?', (q) => q.append('c', 'd'), '?c=d'],
  ['a value set', '?a=%7e&b=1&c=%20', (q) => q.set('b', '2'), '?a=%7e&b=2&c=%20'],
  ['another order', '?c=%20&a=%7e&b', (q) => q.sort(), '?a=%7e&b&c=%20'],
]

for (const [what, sent, edit, left] of CASES) {
  test(`editedSearch() of ${what} leaves the other pairs as they were written`, () => {
    assert.equal(afterEdit(sent, edit), left)
  })
}

const pieces = fc.stringMatching(/^[ab+;=?é]{0,3}(%6[12bB]|%C4|%26|%3D|%zz|%)?[ab=]{0,2}$/)
const searches = fc
  .array(pieces, { maxLength: 8 })
  .map((all) => (all.length === 0 ? '' : `?${all.join('&')}`))
const texts = fc.constantFrom('a', 'b', 'k', 'a b', '&', '=', '', '\u{fffd}', 'é')
const edits = fc.array(fc.tuple(fc.constantFrom('append', 'set', 'delete', 'sort'), texts, texts), {
  maxLength: 4,
})

test('editedSearch() is read as what the edits left, whatever was sent', () => {
  fc.assert(
    fc.property(searches, edits, (sent, steps) => {
      let expected: [string, string][] = []
      const left = afterEdit(sent, (query) => {
        for (const [what, name, value] of steps) {
          if (what === 'sort') query.sort()
          else if (what === 'delete') query.delete(name)
          else if (what === 'set') query.set(name, value)
          else query.append(name, value)
        }
        expected = [...query]
      })
      assert.deepEqual([...new URLSearchParams(left)], expected)
    }),
    { numRuns: 2_000 },
  )
})
