import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Log } from '@cardea/sdk'
import type { GatewaySettings, UpstreamPlan } from '../protocol/generation.ts'
import { ClientAdmission } from './client-admission.ts'
import { VirtualClock } from './testing/virtual-clock.ts'

interface Line {
  readonly level: 'debug' | 'warn'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>> | undefined
}

function admission(openFilesMax: number) {
  const logged: Line[] = []
  const log: Log = {
    debug: (message, fields) => logged.push({ level: 'debug', message, fields }),
    info() {},
    warn: (message, fields) => logged.push({ level: 'warn', message, fields }),
    error() {},
  }
  const clock = new VirtualClock()
  return { clock, logged, clients: new ClientAdmission(log, clock, openFilesMax) }
}

const settings = (connectionsMax: number) => ({ limits: { connectionsMax } }) as GatewaySettings

/** Upstreams of one target each. */
const upstreams = (...connections: readonly number[]): UpstreamPlan[] =>
  connections.map((connectionsMax) => ({ connectionsMax, targets: [{}] }) as unknown as UpstreamPlan)

/** How many are served before the first is not. */
function served(clients: ClientAdmission): number {
  let count = 0
  while (clients.opened() === 'serve') count++
  for (let at = 0; at <= count; at++) clients.closed()
  return count
}

describe('ClientAdmission', () => {
  it('allows what the config allows where there are files enough, or nobody knows how many', () => {
    for (const openFilesMax of [Number.POSITIVE_INFINITY, 1_048_576]) {
      const { clients, logged } = admission(openFilesMax)
      clients.apply(settings(1_000), upstreams(512, 512))
      assert.equal(served(clients), 1_000)
      assert.deepEqual(logged, [])
    }
  })

  it('leaves upstreams the files that they may need, but no more than half', () => {
    const { clients } = admission(1_024)
    clients.apply(settings(20_000), upstreams(100, 200))
    assert.equal(served(clients), 1_024 - 128 - 300)
    clients.apply(settings(20_000), upstreams(512, 512, 512))
    assert.equal(served(clients), (1_024 - 128) / 2)
    clients.apply(settings(20_000), [])
    assert.equal(served(clients), 1_024 - 128)
    clients.apply(settings(50), upstreams(512))
    assert.equal(served(clients), 50)
  })

  it('lets one client in, however few files there are', () => {
    const { clients } = admission(1)
    clients.apply(settings(20_000), upstreams(512))
    assert.equal(served(clients), 1)
  })

  it('warns once where files leave less than half of what the config allows', () => {
    const { clients, logged } = admission(1_024)
    clients.apply(settings(1_000), [])
    clients.apply(settings(1_000), upstreams(512))
    clients.apply(settings(1_000), upstreams(600))
    assert.deepEqual(
      logged.map(({ level, message }) => `${level} ${message.split(' ', 3).join(' ')}`),
      ['debug At most 896', 'warn At most 448'],
    )
  })

  it('turns away those who come on top of those that are being refused, until some of them are gone', () => {
    const { clients } = admission(Number.POSITIVE_INFINITY)
    clients.apply(settings(2), [])
    const admissions = Array.from({ length: 2 + 32 + 1 }, () => clients.opened())
    assert.deepEqual([...new Set(admissions)], ['serve', 'refuse', 'turn-away'])
    assert.equal(admissions.filter((one) => one === 'refuse').length, 32)
    for (let closed = 0; closed < 2; closed++) clients.closed()
    assert.equal(clients.opened(), 'refuse')
    assert.equal(clients.count, 34)
  })

  it('says once a second what could not be accepted, and how often', async () => {
    const { clients, clock, logged } = admission(1_024)
    for (let at = 0; at < 5; at++) clients.notAccepted(-24)
    await clock.advance(1_000)
    clients.notAccepted(-24)
    assert.deepEqual(
      logged.map(({ fields }) => fields),
      [
        { error: 'EMFILE', count: 1 },
        { error: 'EMFILE', count: 5 },
      ],
    )
  })
})
