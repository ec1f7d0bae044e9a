import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkedFieldName, checkedFieldValue, FieldLines } from './fields.ts'

function linesOf(...lines: string[]): FieldLines {
  const fields = new FieldLines()
  fields.lines.push(...lines)
  return fields
}

describe('checkedFieldName()', () => {
  it('refuses what is no token', () => {
    for (const name of [
      '',
      ' ',
      'a b',
      ' a',
      'a:',
      'a\r\n',
      'a\n',
      'a\0',
      'é',
      'a(b)',
      '"a"',
      'a/b',
      '\u212a',
    ]) {
      assert.throws(() => checkedFieldName(name), TypeError, JSON.stringify(name))
    }
  })

  it('returns a token in lower case', () => {
    assert.equal(checkedFieldName("X-!#$%&'*+.^_`|~09"), "x-!#$%&'*+.^_`|~09")
  })
})

describe('checkedFieldValue()', () => {
  it('refuses control characters and what is no byte', () => {
    for (const value of [
      'a\r\nb: c',
      'a\nb',
      'a\rb',
      '\0',
      'a\0',
      '\x7f',
      'a\vb',
      '\x1b',
      'a\u0100',
      '\u2028a',
      '😀',
    ]) {
      assert.throws(() => checkedFieldValue('x', value), /"x"/, JSON.stringify(value))
    }
  })

  it('takes the white space of HTTP from the ends, no other', () => {
    assert.equal(checkedFieldValue('x', ' \t\r\na \t b\n '), 'a \t b')
    assert.equal(checkedFieldValue('x', '\xa0a\xa0'), '\xa0a\xa0')
    assert.equal(checkedFieldValue('x', ' \t '), '')
    assert.equal(checkedFieldValue('x', ''), '')
  })

  it('takes all bytes of a field value', () => {
    const value = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
      .filter((character) => /[\x21-\x7e\x80-\xff]/.test(character))
      .join('')
    assert.equal(checkedFieldValue('x', value), value)
  })

  it('makes text of what is none', () => {
    const given: unknown = 7
    assert.equal(checkedFieldValue('x', given as string), '7')
  })
})

describe('FieldLines', () => {
  it('leaves a shared block as it is, whatever is done to messages that took it', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'host', 'content-length')
    const command = fc.tuple(
      fc.constantFrom('set', 'append', 'delete', 'lines'),
      name,
      fc.constantFrom('1', ''),
    )
    const start = fc.array(fc.tuple(name, fc.constantFrom('x', 'y')), { maxLength: 6 })
    fc.assert(
      fc.property(start, fc.array(command, { maxLength: 8 }), (lines, commands) => {
        const first = linesOf(...lines.flat())
        const block = first.share()
        const taken = new FieldLines()
        taken.take(block)
        const own = linesOf(...lines.flat())
        for (const [what, key, value] of commands) {
          for (const fields of [taken, own]) {
            if (what === 'delete') fields.delete(key)
            else if (what === 'lines') fields.lines.push(key, value)
            else if (what === 'set') fields.set(key, value)
            else fields.append(key, value)
          }
          assert.deepEqual(
            [taken.get(key), taken.getAll(key), taken.size],
            [own.get(key), own.getAll(key), own.size],
          )
          assert.equal(taken.text, own.text)
          assert.equal(taken.textWithoutHost, own.textWithoutHost)
        }
        const again = new FieldLines()
        again.take(block)
        assert.equal(again.text, linesOf(...lines.flat()).text)
        assert.equal(again.textWithoutHost, linesOf(...lines.flat()).textWithoutHost)
        assert.deepEqual(taken.share().lines, own.lines)
        assert.deepEqual([first.lines, again.lines], [lines.flat(), lines.flat()])
      }),
    )
  })

  it('writes a shared block with what each message added and took away, whatever others did', () => {
    const edit = fc.tuple(
      fc.constantFrom('append', 'append', 'delete'),
      fc.constantFrom('a', 'b', 'host', 'content-length'),
      fc.constantFrom('1', '2'),
    )
    fc.assert(
      fc.property(fc.array(fc.array(edit, { maxLength: 3 }), { maxLength: 60 }), (messages) => {
        const block = linesOf('host', 'h', 'b', '3').share()
        for (const edits of messages) {
          const taken = new FieldLines()
          taken.take(block)
          const plain = linesOf('host', 'h', 'b', '3')
          for (const fields of [taken, plain]) {
            for (const [what, name, value] of edits) {
              if (what === 'append') fields.append(name, value)
              else fields.delete(name)
            }
          }
          for (const _ of ['first', 'again']) {
            assert.equal(taken.text, plain.text)
            assert.equal(taken.textWithoutHost, plain.textWithoutHost)
          }
        }
      }),
    )
  })

  it('writes added lines that are too long to be remembered', () => {
    const block = linesOf('host', 'h').share()
    for (const value of ['x'.repeat(5_000), 'y', 'x'.repeat(5_000), 'z'.repeat(5_000), 'y', 'y']) {
      const taken = new FieldLines()
      taken.take(block)
      taken.append('a', value)
      assert.equal(taken.text, `host: h\r\na: ${value}\r\n`)
    }
  })

  it('writes what a message added since it was written', () => {
    const block = linesOf('host', 'h').share()
    for (const value of ['1', '2', '1', '1']) {
      const taken = new FieldLines()
      taken.take(block)
      taken.append('a', value)
      assert.equal(taken.text, `host: h\r\na: ${value}\r\n`)
      taken.append('b', value)
      assert.equal(taken.text, `host: h\r\na: ${value}\r\nb: ${value}\r\n`)
    }
  })

  it('finds nothing of another name, nor a value that looks like the name', () => {
    const fields = linesOf('a', 'b', 'c', 'a')
    assert.deepEqual([fields.get('b'), fields.getAll('b'), fields.has('b')], [null, [], false])
    fields.delete('b')
    assert.deepEqual(fields.lines, ['a', 'b', 'c', 'a'])
  })

  it('joins lines of one name in order', () => {
    const fields = linesOf('a', '1', 'b', '2', 'a', '', 'a', '3')
    assert.equal(fields.get('a'), '1, , 3')
    assert.deepEqual(fields.getAll('a'), ['1', '', '3'])
    assert.equal(fields.size, 4)
  })

  it('sets in the place of the first line and removes the others', () => {
    const fields = linesOf('a', '1', 'b', '2', 'a', '3', 'c', '4', 'a', '5')
    fields.set('a', 'x')
    assert.deepEqual(fields.lines, ['a', 'x', 'b', '2', 'c', '4'])
    fields.set('d', 'y')
    assert.deepEqual(fields.lines, ['a', 'x', 'b', '2', 'c', '4', 'd', 'y'])
  })

  it('does what a plain list of pairs does', () => {
    const name = fc.constantFrom('a', 'b', 'c')
    const command = fc.tuple(fc.constantFrom('set', 'append', 'delete'), name, fc.constantFrom('a', '1', ''))
    fc.assert(
      fc.property(fc.array(command, { maxLength: 30 }), (commands) => {
        const fields = new FieldLines()
        let model: [string, string][] = []
        for (const [what, key, value] of commands) {
          if (what === 'append') {
            fields.append(key, value)
            model.push([key, value])
          } else if (what === 'delete') {
            fields.delete(key)
            model = model.filter(([other]) => other !== key)
          } else {
            const first = model.findIndex(([other]) => other === key)
            fields.set(key, value)
            if (first === -1) model.push([key, value])
            else
              model = model.flatMap(([k, v], i) => (k !== key ? [[k, v]] : i === first ? [[key, value]] : []))
          }
        }
        assert.deepEqual(fields.lines, model.flat())
        const values = model.filter(([key]) => key === 'a').map(([, value]) => value)
        assert.deepEqual(fields.getAll('a'), values)
        assert.equal(fields.get('a'), values.length === 0 ? null : values.join(', '))
      }),
    )
  })
})
