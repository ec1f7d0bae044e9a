import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { PlacedInstance } from '@cardea/sdk'
import { refuseDisagreement } from './agreement.ts'
import { type Config, limitsOf } from './config.ts'

const DEFAULTS = {
  algorithm: 'bucket',
  key: ['route', 'ip'],
  ipv6_prefix: 64,
  ipv4_prefix: 32,
  on_full: 'share',
  headers: true,
} as const

type Given = Partial<Config>

function placed(given: Given, routes: readonly string[], name = 'rate-limit'): PlacedInstance<Config> {
  return { name, config: Object.freeze({ ...DEFAULTS, ...given }), routes }
}

function check(own: PlacedInstance<Config>, ...others: readonly PlacedInstance<Config>[]): void {
  refuseDisagreement(limitsOf(own.config, own.name), { routes: own.routes, others })
}

const SITE: Given = { limit: 20, window: '1s', key: 'ip' }
const LOGIN: Given = { limit: 5, window: '1h', key: 'ip' }

describe('limits of one name and key', () => {
  test('with other numbers on another route are refused, whichever of the two is new', () => {
    const site = placed(SITE, ['site', 'shop'])
    const login = placed(LOGIN, ['login'])
    assert.throws(() => check(login, site), {
      message:
        'Limit "default" by ip is 5 in 3600 s (bucket) on route login, and 20 in 1 s (bucket) on route site and ' +
        '1 more; limits of one name and key are one limit. Give one of them another `name`, or the same numbers',
    })
    assert.throws(() => check(site, login), /^Error: Limit "default" by ip is 20 in 1 s/)
  })

  for (const [what, change] of Object.entries({
    limit: { limit: 6 },
    window: { window: '2h' },
    burst: { burst: 3 },
    algorithm: { algorithm: 'sliding' },
  } satisfies Record<string, Given>)) {
    test(`differ by their ${what}`, () => {
      assert.throws(() => check(placed(LOGIN, ['a']), placed({ ...LOGIN, ...change }, ['b'])))
    })
  }

  test('are found by the name of a header in any case', () => {
    const key = ['ip', 'header:X-Tenant']
    const other = placed({ ...SITE, key: ['ip', 'header:x-tenant'] }, ['site'])
    assert.throws(() => check(placed({ ...LOGIN, key }, ['login']), other), /by ip, header:x-tenant is 5 in/)
  })

  test('are found where one key has the name of a header twice, in two spellings', () => {
    const key = ['header:X-Tenant', 'header:x-tenant']
    const other = placed({ ...SITE, key: 'header:x-tenant' }, ['site'])
    assert.throws(() => check(placed({ ...LOGIN, key }, ['login']), other), /by header:x-tenant is 5 in/)
  })

  test('with the same numbers are one limit for several routes', () => {
    check(placed(LOGIN, ['a']), placed({ ...LOGIN, window: '60m', headers: false }, ['b']))
  })

  test('among several are found wherever they stand', () => {
    const ours = placed({ limits: [{ name: 'x', limit: 1, window: '1s' }] }, ['a'])
    const second = { name: 'tenant', limit: 9, window: '1m', key: 'header:X-Tenant' }
    const other = { ...second, limit: 10 }
    check(ours, placed({ limits: [second] }, ['a']))
    const both = placed({ limits: [{ name: 'x', limit: 1, window: '1s' }, other] }, ['b'])
    assert.throws(() => check(both, ours, placed({ limits: [second] }, ['a'])), /Limit "tenant"/)
  })
})

describe('limits may differ', () => {
  test('under other names', () => {
    check(placed({ ...LOGIN, name: 'login' }, ['login']), placed(SITE, ['site']))
    check(placed(LOGIN, ['login'], 'login-limit'), placed(SITE, ['login', 'site']))
  })

  test('by other keys', () => {
    check(placed({ ...LOGIN, key: 'consumer' }, ['login']), placed(SITE, ['site']))
  })

  test('with the route in their key, but for two on one route', () => {
    const site = placed({ limit: 20, window: '1s' }, ['site', 'login'], 'one')
    const login = placed({ limit: 5, window: '1h', name: 'one' }, ['login'], 'two')
    check(placed({ limit: 5, window: '1h' }, ['login']), placed({ limit: 20, window: '1s' }, ['site']))
    assert.throws(() => check(login, site), /Limit "one" by route, ip/)
  })

  test('from those of a config that is no valid one: its own instance refuses it', () => {
    check(placed(LOGIN, ['login']), placed({ key: 'ip' }, ['site']))
  })
})
