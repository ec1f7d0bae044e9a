import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { AddressBlocks } from './cidr.ts'
import { type ConnectionFacts, type Forwarding, ForwardingFields, isForwardingField } from './forwarded.ts'

type Told = Readonly<Record<string, string>>

const NOBODY = { blocks: new AddressBlocks([]) }
const PROXIES = { blocks: new AddressBlocks(['10.0.0.0/8', 'fd00::/8']) }
const UNREAD = { get: (name: string): never => assert.fail(`${name} was read`) }

function connection(rest: Partial<ConnectionFacts> = {}): ConnectionFacts {
  return { peerAddress: '10.0.0.1', localPort: 8080, scheme: 'http', ...rest }
}

function told(fields: Told, host = 'a.com', rest: Partial<ConnectionFacts> = {}): Forwarding {
  return new ForwardingFields(connection(rest), PROXIES).of(host, { get: (name) => fields[name] ?? null })
}

function line(forwarding: Forwarding, name: string): string | null {
  return new RegExp(`^${name}: (.*)\r$`, 'm').exec(forwarding.lines)?.[1] ?? null
}

describe('ForwardingFields.of() for a peer that is not trusted', () => {
  it('reads no field of the client', () => {
    const fields = new ForwardingFields(connection({ peerAddress: '1.2.3.4' }), PROXIES)
    assert.equal(fields.trusted, false)
    assert.deepEqual(fields.of('a.com', UNREAD), {
      ip: '1.2.3.4',
      scheme: 'http',
      host: 'a.com',
      port: '8080',
      lines:
        'x-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: http\r\nx-forwarded-host: a.com\r\nx-forwarded-port: 8080\r\n' +
        'forwarded: for=1.2.3.4;host=a.com;proto=http\r\n',
    })
  })

  it('makes the lines once per host', () => {
    const fields = new ForwardingFields(connection(), NOBODY)
    const first = fields.of('a.com', UNREAD)
    assert.equal(fields.of('a.com', UNREAD), first)
    assert.equal(line(fields.of('b.com', UNREAD), 'x-forwarded-host'), 'b.com')
    assert.deepEqual(fields.of('a.com', UNREAD), first)
  })

  it('leaves the host out when there is none', () => {
    const forwarding = new ForwardingFields(connection(), NOBODY).of('', UNREAD)
    assert.equal(line(forwarding, 'x-forwarded-host'), null)
    assert.equal(line(forwarding, 'forwarded'), 'for=10.0.0.1;proto=http')
  })

  it('leaves out a host that could be taken for something else', () => {
    for (const host of ['a b', 'a";for=1.2.3.4', 'a,b', 'a\r\nx: y']) {
      const forwarding = new ForwardingFields(connection(), NOBODY).of(host, UNREAD)
      assert.equal(forwarding.host, '')
      assert.equal(line(forwarding, 'forwarded'), 'for=10.0.0.1;proto=http')
    }
  })

  it('quotes a host with a port, and an IPv6 address in brackets', () => {
    const facts = connection({ peerAddress: 'fe80::1%eth0', scheme: 'https', localPort: 8443 })
    const forwarding = new ForwardingFields(facts, NOBODY).of('a.com:8443', UNREAD)
    assert.equal(line(forwarding, 'x-forwarded-for'), 'fe80::1')
    assert.equal(line(forwarding, 'forwarded'), 'for="[fe80::1]";host="a.com:8443";proto=https')
  })

  it('knows IPv4 on a dual-stack socket, and a socket without address', () => {
    const ipOf = (peerAddress: string) =>
      new ForwardingFields(connection({ peerAddress }), NOBODY).of('', UNREAD).ip
    assert.equal(ipOf('::ffff:1.2.3.4'), '1.2.3.4')
    assert.equal(ipOf(''), 'unknown')
    assert.equal(new ForwardingFields(connection({ peerAddress: '::ffff:10.1.1.1' }), PROXIES).trusted, true)
  })
})

describe('ForwardingFields.of() of a connection that outlives a change of trusted_proxies', () => {
  const fields = { get: (name: string) => (name === 'x-forwarded-for' ? '1.2.3.4' : null) }

  it('believes the peer from the change on that trusts it, and not any more after the one that does not', () => {
    const trust = { blocks: NOBODY.blocks }
    const forwarding = new ForwardingFields(connection(), trust)
    const seen = [NOBODY, PROXIES, NOBODY].map(({ blocks }) => {
      trust.blocks = blocks
      return [forwarding.of('a.com', fields).ip, forwarding.trusted]
    })
    assert.deepEqual(seen, [
      ['10.0.0.1', false],
      ['1.2.3.4', true],
      ['10.0.0.1', false],
    ])
  })
})

describe('ForwardingFields.of() for a trusted peer: the client', () => {
  const cases: readonly [Told, ip: string][] = [
    [{}, '10.0.0.1'],
    [{ 'x-forwarded-for': '' }, '10.0.0.1'],
    [{ 'x-forwarded-for': ' , ' }, '10.0.0.1'],
    [{ 'x-forwarded-for': '1.2.3.4' }, '1.2.3.4'],
    [{ 'x-forwarded-for': '6.6.6.6, 1.2.3.4' }, '1.2.3.4'],
    [{ 'x-forwarded-for': '6.6.6.6,1.2.3.4 ,\t10.0.0.2' }, '1.2.3.4'],
    [{ 'x-forwarded-for': '10.0.0.3, 1.2.3.4, 10.0.0.2' }, '1.2.3.4'],
    [{ 'x-forwarded-for': '10.0.0.3, 10.0.0.2' }, '10.0.0.3'],
    [{ 'x-forwarded-for': 'fd00::7' }, 'fd00::7'],
    [{ 'x-forwarded-for': '1.2.3.4:5678' }, '1.2.3.4'],
    [{ 'x-forwarded-for': '[2001:DB8::1]:5678' }, '2001:db8::1'],
    [{ 'x-forwarded-for': '2001:DB8:0::1' }, '2001:db8::1'],
    [{ 'x-forwarded-for': '::ffff:1.2.3.4' }, '1.2.3.4'],
    [{ 'x-forwarded-for': 'garbage, 1.2.3.4' }, '1.2.3.4'],
    [{ 'x-forwarded-for': '1.2.3.4, garbage' }, '10.0.0.1'],
    [{ 'x-forwarded-for': '1.2.3.4, unknown, 10.0.0.2' }, '10.0.0.2'],
    [{ 'x-forwarded-for': '1.2.3.4, 01.2.3.4' }, '10.0.0.1'],
    [{ 'x-forwarded-for': '1.2.3.4, ,' }, '1.2.3.4'],
    [{ forwarded: 'for=1.2.3.4' }, '1.2.3.4'],
    [{ forwarded: 'for=6.6.6.6, for="[2001:db8::1]:80", for=10.0.0.2' }, '2001:db8::1'],
    [{ forwarded: 'for=6.6.6.6, for=_hidden, for=10.0.0.2' }, '10.0.0.2'],
    [{ forwarded: 'for=1.2.3.4, broken' }, '10.0.0.1'],
    [{ forwarded: 'for=6.6.6.6', 'x-forwarded-for': '1.2.3.4' }, '1.2.3.4'],
    [{ 'x-forwarded-for': `6.6.6.6${', 10.0.0.2'.repeat(40)}` }, '10.0.0.2'],
  ]
  for (const [fields, ip] of cases) {
    it(`is ${ip} by ${JSON.stringify(fields).slice(0, 80)}`, () => assert.equal(told(fields).ip, ip))
  }
})

describe('ForwardingFields.of() for a trusted peer: scheme, host and port', () => {
  const cases: readonly [Told, expected: readonly [scheme: string, host: string, port: string]][] = [
    [{}, ['http', 'a.com', '8080']],
    [{ 'x-forwarded-proto': 'HTTPS' }, ['https', 'a.com', '443']],
    [{ 'x-forwarded-proto': 'http, https' }, ['https', 'a.com', '443']],
    [{ 'x-forwarded-proto': 'gopher' }, ['http', 'a.com', '8080']],
    [{ 'x-forwarded-host': 'b.com' }, ['http', 'b.com', '8080']],
    [{ 'x-forwarded-host': 'evil.com, b.com' }, ['http', 'b.com', '8080']],
    [{ 'x-forwarded-host': 'b c' }, ['http', 'a.com', '8080']],
    [{ 'x-forwarded-for': '1.2.3.4' }, ['http', 'a.com', '80']],
    [{ 'x-forwarded-for': '1.2.3.4', 'x-forwarded-host': 'b.com:81' }, ['http', 'b.com:81', '81']],
    [{ 'x-forwarded-for': '1.2.3.4', 'x-forwarded-host': '[::1]' }, ['http', '[::1]', '80']],
    [{ 'x-forwarded-port': '1234' }, ['http', 'a.com', '1234']],
    [{ 'x-forwarded-port': '1, 2' }, ['http', 'a.com', '2']],
    [{ 'x-forwarded-port': '0' }, ['http', 'a.com', '8080']],
    [{ 'x-forwarded-port': '65536' }, ['http', 'a.com', '8080']],
    [{ 'x-forwarded-port': '80x' }, ['http', 'a.com', '8080']],
    [{ forwarded: 'for=1.2.3.4;proto=https;host=b.com' }, ['https', 'b.com', '443']],
    [{ forwarded: 'for=1.2.3.4;proto=https, for=10.0.0.2;proto=http;host=i' }, ['https', 'a.com', '443']],
    [{ forwarded: 'for=1.2.3.4;host=b.com', 'x-forwarded-host': 'evil.com' }, ['http', 'b.com', '80']],
    [{ forwarded: 'host=evil.com', 'x-forwarded-for': '1.2.3.4' }, ['http', 'a.com', '80']],
  ]
  for (const [fields, expected] of cases) {
    it(`are ${expected.join(' ')} by ${JSON.stringify(fields)}`, () => {
      const { scheme, host, port, lines } = told(fields)
      assert.deepEqual([scheme, host, port], expected)
      assert.match(lines, new RegExp(`x-forwarded-proto: ${scheme}\r\n`))
      assert.ok(lines.includes(`x-forwarded-host: ${host}\r\nx-forwarded-port: ${port}\r\n`))
    })
  }
})

describe('ForwardingFields.of() for a trusted peer: the lines', () => {
  const cases: readonly [Told, forwardedFor: string, forwarded: string][] = [
    [{}, '10.0.0.1', 'for=10.0.0.1;host=a.com;proto=http'],
    [
      { 'x-forwarded-for': '1.2.3.4' },
      '1.2.3.4, 10.0.0.1',
      'for=1.2.3.4;host=a.com;proto=http, for=10.0.0.1',
    ],
    [
      { 'x-forwarded-for': 'x y,::1, 1.2.3.4:9', 'x-forwarded-proto': 'https', forwarded: 'for=6.6.6.6' },
      'unknown, ::1, 1.2.3.4, 10.0.0.1',
      'for=unknown, for="[::1]", for=1.2.3.4;host=a.com;proto=https, for=10.0.0.1',
    ],
    [
      { forwarded: 'for=_x;proto=http, for=1.2.3.4;host=b.com;secret=1' },
      'unknown, 1.2.3.4, 10.0.0.1',
      'for=_x;proto=http, for=1.2.3.4;host=b.com;proto=http, for=10.0.0.1',
    ],
    [{ forwarded: 'broken' }, '10.0.0.1', 'for=10.0.0.1;host=a.com;proto=http'],
  ]
  for (const [fields, forwardedFor, forwarded] of cases) {
    it(`for ${JSON.stringify(fields)}`, () => {
      const forwarding = told(fields)
      assert.equal(line(forwarding, 'x-forwarded-for'), forwardedFor)
      assert.equal(line(forwarding, 'forwarded'), forwarded)
    })
  }

  it('are bounded, keep the nearest hops, and hold nothing that was not parsed', () => {
    const value = fc.oneof(
      fc.string({ maxLength: 30 }),
      fc
        .array(fc.constantFrom('1.2.3.4', '10.0.0.2', '_x', 'for=', '"', ',', ';', '\r\n', ' '))
        .map((parts) => parts.join('')),
    )
    const names = [
      'x-forwarded-for',
      'x-forwarded-proto',
      'x-forwarded-host',
      'x-forwarded-port',
      'forwarded',
    ] as const
    const fields = fc.dictionary(fc.constantFrom(...names), value)
    fc.assert(
      fc.property(fields, (sent) => {
        const { lines } = told(sent)
        assert.match(
          lines,
          /^x-forwarded-for: [0-9a-f:., unkow]+\r\nx-forwarded-proto: https?\r\nx-forwarded-host: [!-~]+\r\n/,
        )
        assert.match(lines, /\r\nx-forwarded-port: [0-9]+\r\nforwarded: for=[ -~]+\r\n$/)
        assert.equal(lines.split('\r\n').length, 6)
      }),
      { numRuns: 2_000 },
    )
    const long = told({
      'x-forwarded-for': Array.from(
        { length: 5_000 },
        (_, index) => `1.1.${index >> 8}.${index & 255}`,
      ).join(),
    })
    assert.equal(long.ip, '1.1.19.135')
    assert.equal(line(long, 'x-forwarded-for')?.split(', ').length, 33)
  })
})

describe('isForwardingField()', () => {
  for (const [name, whenTrusted, whenNot] of [
    ['forwarded', true, true],
    ['x-forwarded-for', true, true],
    ['x-forwarded-proto', true, true],
    ['x-forwarded-host', true, true],
    ['x-forwarded-port', true, true],
    ['x-forwarded-prefix', false, true],
    ['x-forwarded', false, false],
    ['via', false, false],
  ] as const) {
    it(`says ${name} is replaced: ${whenTrusted} when trusted, ${whenNot} when not`, () => {
      assert.equal(isForwardingField(name, true), whenTrusted)
      assert.equal(isForwardingField(name, false), whenNot)
    })
  }
})
