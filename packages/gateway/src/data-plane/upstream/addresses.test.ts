import assert from 'node:assert/strict'
import type dns from 'node:dns'
import { test } from 'node:test'
import { AddressBook, type OpenName } from './addresses.ts'

const REFRESH_MS = 30_000

/** A resolver whose answers the test gives, and a clock that it sets. */
function scriptedBook() {
  const asked: { readonly name: string; answer(...addresses: string[]): void; fail(code: string): void }[] =
    []
  const clock = { nowMs: 1_000 }
  const resolve = (
    name: string,
    _options: unknown,
    done: (error: Error | null, addresses: dns.LookupAddress[]) => void,
  ): void => {
    asked.push({
      name,
      answer: (...addresses) =>
        done(
          null,
          addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        ),
      // Node leaves the second argument out.
      fail: (code) => (done as (error: Error) => void)(Object.assign(new Error(code), { code })),
    })
  }
  const book = new AddressBook(() => clock.nowMs, resolve as unknown as typeof dns.lookup)
  const opened: Record<string, OpenName> = {}
  /** What a connection to the name gets: its addresses in order, an error code, or null while it waits. */
  const connect = (name = 'app.test', all = true): { got: string | null } => {
    const result: { got: string | null } = { got: null }
    opened[name] ??= book.open(name, REFRESH_MS)
    opened[name].lookup(name, { all }, (error, found) => {
      const addresses = typeof found === 'string' ? found : found.map(({ address }) => address).join(' ')
      result.got = error === null ? addresses : (error.code ?? error.message)
    })
    return result
  }
  return { asked, clock, connect, book, opened }
}

test('AddressBook fails when the resolver does, and asks again for the next connection', () => {
  const { asked, connect } = scriptedBook()
  const first = connect()
  asked[0]?.fail('ENOTFOUND')
  assert.equal(first.got, 'ENOTFOUND')
  const second = connect()
  asked[1]?.answer('10.0.0.1')
  assert.equal(second.got, '10.0.0.1')
})

test('AddressBook fails when a name has no address at all', () => {
  const { asked, connect } = scriptedBook()
  const only = connect()
  asked[0]?.answer()
  assert.equal(only.got, 'ENOTFOUND')
})

test('AddressBook asks once for all that wait for the same name, and tells all how it went', () => {
  const { asked, connect } = scriptedBook()
  const waiting = [connect(), connect(), connect()]
  const other = connect('other.test')
  assert.deepEqual(
    asked.map(({ name }) => name),
    ['app.test', 'other.test'],
  )
  asked[0]?.fail('EAI_AGAIN')
  assert.deepEqual(
    waiting.map(({ got }) => got),
    ['EAI_AGAIN', 'EAI_AGAIN', 'EAI_AGAIN'],
  )
  assert.equal(other.got, null)
  asked[1]?.answer('10.0.0.2')
  assert.equal(other.got, '10.0.0.2')
})

test('AddressBook makes nobody wait once a name is known', () => {
  const { asked, connect, clock } = scriptedBook()
  connect()
  asked[0]?.answer('10.0.0.1')
  clock.nowMs += REFRESH_MS - 1
  assert.equal(connect().got, '10.0.0.1')
  assert.equal(asked.length, 1)
})

test('AddressBook serves a stale answer while it asks anew, once', () => {
  const { asked, connect, clock } = scriptedBook()
  connect()
  asked[0]?.answer('10.0.0.1')
  clock.nowMs += REFRESH_MS
  assert.equal(connect().got, '10.0.0.1')
  assert.equal(connect().got, '10.0.0.1')
  assert.equal(asked.length, 2)
  asked[1]?.answer('10.0.0.2')
  assert.equal(connect().got, '10.0.0.2')
  assert.equal(asked.length, 2)
})

test('AddressBook keeps the stale answer when the resolver fails, and asks again after a tenth of the time', () => {
  const { asked, connect, clock } = scriptedBook()
  connect()
  asked[0]?.answer('10.0.0.1')
  clock.nowMs += REFRESH_MS
  connect()
  asked[1]?.fail('EAI_AGAIN')
  assert.equal(connect().got, '10.0.0.1')
  clock.nowMs += REFRESH_MS / 10 - 1
  assert.equal(connect().got, '10.0.0.1')
  assert.equal(asked.length, 2)
  clock.nowMs += 1
  assert.equal(connect().got, '10.0.0.1')
  assert.equal(asked.length, 3)
  asked[2]?.answer('10.0.0.3')
  assert.equal(connect().got, '10.0.0.3')
})

test('AddressBook starts each connection at the next address', () => {
  const { asked, connect } = scriptedBook()
  connect()
  asked[0]?.answer('10.0.0.1', '10.0.0.2', '::1')
  assert.equal(connect().got, '10.0.0.1 10.0.0.2 ::1')
  assert.equal(connect().got, '10.0.0.2 ::1 10.0.0.1')
  assert.equal(connect('app.test', false).got, '::1')
  assert.equal(connect('app.test', false).got, '10.0.0.1')
})

test('AddressBook forgets a name with the last who has it open', () => {
  const { asked, connect, book, opened } = scriptedBook()
  connect()
  asked[0]?.answer('10.0.0.1')
  const other = book.open('app.test', REFRESH_MS)
  opened['app.test']?.close()
  delete opened['app.test']
  assert.equal(connect().got, '10.0.0.1')
  assert.equal(asked.length, 1)
  opened['app.test']?.close()
  other.close()
  delete opened['app.test']
  const anew = connect()
  assert.equal(asked.length, 2)
  asked[1]?.answer('10.0.0.2')
  assert.equal(anew.got, '10.0.0.2')
})

test('AddressBook keeps no answer that comes when nobody has the name open any more', () => {
  const { asked, connect, opened } = scriptedBook()
  const waiting = connect()
  opened['app.test']?.close()
  delete opened['app.test']
  asked[0]?.answer('10.0.0.1')
  assert.equal(waiting.got, '10.0.0.1')
  assert.equal(connect().got, null)
  assert.equal(asked.length, 2)
})
