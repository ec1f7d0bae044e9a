import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChangeCause, ChangeReport, HeldContent } from '../protocol/control.ts'
import { causeText, changeText, pinText } from './change-text.ts'
import { DIRECTORY, failedReport, heldReport, loss, NOW, problem, report } from './test-answers.ts'
import { COLORS, PLAIN } from './text.ts'

const text = (given: ChangeReport, serving: number | null = 14): string =>
  changeText(given, { paint: PLAIN, directory: DIRECTORY, serving })

test('changeText() says what went live, what was made anew, and how long each stage took', () => {
  assert.equal(
    text(report()),
    `Generation 15 is live after 48 ms: plugin auth 1.0.0 → 1.1.0
  cause     saved plugins/auth/plugin.ts
  instances made anew: auth; carried over: cors, jwt, rate-limit, plugin-0, plugin-1, plugin-2, plugin-3, plugin-4 and 10 more
  time      build 3.1 ms · trial 22 ms · skew between workers 0.4 ms
`,
  )
})

test('changeText() says how many instances were carried over where a record does not name them', () => {
  const line = (carried: ChangeReport['carried']) =>
    text(report({ carried }))
      .split('\n')
      .find((shown) => shown.includes('carried over'))
  assert.equal(line([]), '  instances made anew: auth; carried over: none')
  assert.equal(line(18), '  instances made anew: auth; carried over: 18')
})

test('changeText() lists several changes and notices below one another', () => {
  const changes = ['plugin auth 1.0.0 → 1.1.0', 'route api: upstream changed', 'limits changed']
  const given = report({
    changes,
    started: [],
    carried: ['cors'],
    stages: [],
    skewMs: null,
    who: 'files',
    notices: ['workers: 4 takes effect at the next start'],
  })
  assert.equal(
    text(given),
    `Generation 15 is live: plugin auth 1.0.0 → 1.1.0 and 2 more
  cause     saved plugins/auth/plugin.ts
  changes   plugin auth 1.0.0 → 1.1.0
            route api: upstream changed
            limits changed
  instances made anew: none; carried over: cors
  note      workers: 4 takes effect at the next start
`,
  )
})

test('changeText() says what was let in by an approval', () => {
  const held = [
    loss({ to: 'health', reason: 'its requests now go to route "health"' }),
    { kind: 'more', count: 250, digest: 'ab' },
    { kind: 'unknown', reason: 'generation 14 cannot be read any more', digest: 'ab' },
  ] as const
  const lines = text(report({ cause: { kind: 'approve' }, who: 'ann', held, heldId: '3f9a1c2b' })).split('\n')
  assert.deepEqual(lines.slice(1, 5), [
    '  cause     approve, by ann',
    '  approved  route api loses security plugin auth: its requests now go to route "health"',
    '            and 250 more',
    '            generation 14 cannot be read any more',
  ])
})

test('changeText() says that nothing changed', () => {
  assert.equal(
    text(report({ outcome: 'unchanged', generation: 14, cause: { kind: 'approve' }, who: 'ann' })),
    'Nothing changed: generation 14 serves on\n  cause     approve, by ann\n',
  )
})

test('changeText() says of a rollback to what serves already that it does, and what is held on as before', () => {
  const cause = { kind: 'rollback', generation: 12 } as const
  const again = report({ outcome: 'unchanged', generation: 14, cause, who: 'ann', heldBack: ['auth'] })
  assert.equal(
    text(again),
    `Nothing changed: what generation 12 was is what serves already, and generation 14 serves on
  cause     rollback to generation 12, by ann
  What differs on disk is held until it changes: auth; "cardea release" lets it in as it is.
`,
  )
  const alone = { kind: 'plugin-rollback', plugin: 'auth', version: '1.0.0' } as const
  assert.match(
    text({ ...again, cause: { kind: 'approve', of: alone } }),
    /^Nothing changed: plugin "auth" is at 1\.0\.0 already, and .*\n.*\n {2}What stands on disk of auth is held until it changes; /,
  )
})

test('changeText() says of a switch that changes nothing that runs why it does not', () => {
  const headline = (outcome: 'committed' | 'unchanged', kind: 'disable' | 'enable') =>
    text(report({ outcome, generation: 14, changes: [], cause: { kind, plugin: 'auth' } })).split('\n')[0]
  assert.match(headline('committed', 'disable') ?? '', /: plugin "auth" ran nowhere, and will not until/)
  assert.match(
    headline('committed', 'enable') ?? '',
    /: plugin "auth" is not disabled any more, and runs nowhere$/,
  )
  assert.equal(
    headline('unchanged', 'disable'),
    'Nothing changed: plugin "auth" is disabled already, and generation 14 serves on',
  )
  assert.equal(
    headline('unchanged', 'enable'),
    'Nothing changed: no command had disabled plugin "auth" (where it is off, its plugin.json or the config says so), ' +
      'and generation 14 serves on',
  )
})

test('changeText() shows each problem with its place, code and frame, and what serves on', () => {
  assert.equal(
    text(failedReport()),
    `The change failed at build: generation 14 serves on
  cause     saved plugins/auth/plugin.ts

  plugins/auth/plugin.ts:2:29 PLUGIN_BUILD_FAILED Cannot build plugin "auth": Unexpected "=>"
    2 | export const PluginMain = ( => 1
      |                             ^
`,
  )
})

test('changeText() shows the calls of a stack without the message that stands above it', () => {
  const stack = `Error: no\n    at PluginMain (/srv/shop/plugins/auth/plugin.ts:3:9)\n${'    at f (x.ts:1:1)\n'.repeat(20)}`
  const parts = {
    stage: 'trial',
    code: 'PLUGIN_START_FAILED',
    message: 'Cannot start plugin "auth": no',
    frame: null,
    stack,
  } as const
  const lines = text(failedReport({ problems: [problem(parts)] })).split('\n')
  assert.equal(lines[0], 'The change failed at trial: generation 14 serves on')
  assert.equal(lines[4], '    at PluginMain (/srv/shop/plugins/auth/plugin.ts:3:9)')
  assert.equal(lines.length, 11)
})

test('changeText() has no place to show where a problem is in no file', () => {
  const given = failedReport({
    problems: [problem({ file: '', frame: null, code: 'TRIAL_FAILED', message: 'It died' })],
  })
  assert.match(text(given), /^ {2}TRIAL_FAILED It died$/m)
})

test('changeText() counts problems that are too many to read', () => {
  const problems = Array.from({ length: 25 }, (_, index) => problem({ line: index + 1 }))
  const shown = text(failedReport({ problems }))
  assert.equal(shown.match(/PLUGIN_BUILD_FAILED/g)?.length, 20)
  assert.ok(shown.endsWith('\n  and 5 more problems\n'))
})

test('changeText() says what serves when nothing does, or nobody knows', () => {
  assert.match(
    text(failedReport(), 0),
    /^The change failed at build: nothing can be served, requests are answered 503\n/,
  )
  assert.match(text(failedReport(), null), /^The change failed at build: nothing of it is live\n/)
})

test('changeText() asks nobody to mend files of what a command asked for', () => {
  const shown = text(heldReport({ cause: { kind: 'disable', plugin: 'auth' } }))
  assert.match(shown, /If not: nothing is to be done\.\n/)
  assert.doesNotMatch(shown, /mend the files/)
})

test('changeText() explains what is held, and both ways on', () => {
  assert.equal(
    text(heldReport()),
    `The change is held: generation 14 serves on
  cause     saved plugins/auth/plugin.ts
  route api would lose security plugin auth: plugin "auth" is gone from plugins/
  If that is meant: write "auth: false" under \`plugins:\` of route api, or run "cardea approve 3f9a1c2b".
  If not: mend the files; nothing else is needed.
  changes   route api: −auth
`,
  )
})

test('changeText() names each route that takes requests, as the one whose plugins are to say that it is meant', () => {
  const held = [
    loss({ to: 'health', reason: 'its requests now go to route "health"' }),
    loss({ to: 'admin', reason: 'its requests now go to route "admin"' }),
    loss({
      plugin: 'guard',
      instead: 'cors',
      reason: 'route "api" runs plugin "cors" as "guard", not "jwt"',
    }),
  ]
  const lines = text(heldReport({ held })).split('\n')
  assert.deepEqual(lines.slice(2, 7), [
    '  route api would lose security plugin auth: its requests now go to route "health"',
    '  route api would lose security plugin auth: its requests now go to route "admin"',
    '  route api would lose security plugin guard: route "api" runs plugin "cors" as "guard", not "jwt"',
    '  If that is meant: write "auth: false" under `plugins:` of routes health, admin, ' +
      '"guard: false" under `plugins:` of route api, or run "cardea approve 3f9a1c2b".',
    '  Before that, what runs as "guard" there now needs another name.',
  ])
})

test('changeText() says how many losses are not listed', () => {
  const shown = text(heldReport({ held: [loss(), { kind: 'more', count: 250, digest: 'ab' }] }))
  assert.match(shown, /^ {2}and 250 more, which "cardea approve 3f9a1c2b" lets in too$/m)
})

test('changeText() says when nobody can tell what is lost, and the way on', () => {
  const held = [{ kind: 'unknown', reason: 'generation 14 cannot be read any more', digest: 'ab' }] as const
  assert.equal(
    text(heldReport({ held }), 0),
    `The change is held: nothing can be served, requests are answered 503
  cause     saved plugins/auth/plugin.ts
  generation 14 cannot be read any more
  If what stands in the files is meant: run "cardea approve 3f9a1c2b".
  changes   route api: −auth
`,
  )
})

test('changeText() tells those who went back how to go forward', () => {
  const after = (cause: ChangeCause, heldBack: readonly string[] = []) =>
    text(report({ cause, who: 'ann', heldBack }))
      .split('\n')
      .at(-2)
  assert.equal(
    after({ kind: 'rollback', generation: 12 }, ['config', 'auth']),
    '  What differs on disk is held until it changes: config, auth; "cardea release" lets it in as it is.',
  )
  assert.match(
    after(
      { kind: 'rollback', generation: 12 },
      Array.from({ length: 30 }, (_, index) => `p${index}`),
    ) ?? '',
    /: p0, .*, p7 and 22 more; "cardea release"/,
  )
  assert.equal(
    after({ kind: 'plugin-rollback', plugin: 'auth', version: '1.0.0' }, ['auth', 'config']),
    '  What stands on disk of auth is held until it changes; "cardea release auth" lets it in as it is.',
  )
  assert.equal(after({ kind: 'disable', plugin: 'auth' }), '  "cardea plugin enable auth" takes it back in.')
  assert.match(after({ kind: 'quarantine', plugin: 'auth' }) ?? '', /"cardea plugin reload auth"/)
})

test('changeText() tells the same of what had to be approved', () => {
  for (const of of [
    { kind: 'rollback', generation: 12 },
    { kind: 'plugin-rollback', plugin: 'auth', version: '1.0.0' },
    { kind: 'disable', plugin: 'auth' },
  ] as const) {
    const lastOf = (cause: ChangeCause) =>
      text(report({ cause, heldBack: ['auth'] }))
        .split('\n')
        .at(-2)
    assert.equal(lastOf({ kind: 'approve', of }), lastOf(of))
    const held = heldReport({ cause: { kind: 'approve', of } })
    assert.match(text(held), /If not: nothing is to be done\./)
  }
})

test('changeText() says nothing of what is held where nothing on disk differs', () => {
  for (const cause of [
    { kind: 'rollback', generation: 12 },
    { kind: 'plugin-rollback', plugin: 'auth', version: '1.0.0' },
    { kind: 'probation', plugin: 'auth', version: '1.0.0' },
  ] as const) {
    assert.doesNotMatch(text(report({ cause, heldBack: [] })), /held|release/)
    const { heldBack: _, ...older } = report({ cause })
    assert.doesNotMatch(text(older), /held|release/)
  }
})

test('changeText() lets no control character through', () => {
  const evil = 'x\u001b[2Jy'
  const all = [
    report({
      changes: [evil, evil],
      started: [evil],
      carried: [evil],
      notices: [evil],
      who: evil,
      cause: { kind: 'reload', plugin: evil },
    }),
    failedReport({
      problems: [problem({ message: evil, file: `/${evil}`, frame: evil, stack: `e\n at ${evil}` })],
    }),
    heldReport({ held: [loss({ route: evil, to: evil, plugin: evil, instead: evil, reason: evil })] }),
    heldReport({ held: [{ kind: 'unknown', reason: evil, digest: 'ab' }] }),
    report({ cause: { kind: 'disable', plugin: evil } }),
    report({ cause: { kind: 'rollback', generation: 12 }, heldBack: [evil] }),
  ]
  for (const given of all) assert.doesNotMatch(text(given), /[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
})

test('changeText() has colours only where they are asked for', () => {
  const coloured = changeText(failedReport(), { paint: COLORS, directory: DIRECTORY, serving: 14 })
  assert.ok(coloured.startsWith('\u001b[31mThe change failed at build\u001b[0m: '))
  assert.equal(coloured.replaceAll(/\u001b\[\d+m/g, ''), text(failedReport()))
})

test('causeText() has words for every cause', () => {
  const causes: [ChangeCause, string][] = [
    [{ kind: 'start' }, 'start'],
    [{ kind: 'recovery' }, 'the supervisor was started anew'],
    [{ kind: 'files', files: [] }, 'a look at the files after a command'],
    [{ kind: 'files', files: ['/srv/shop/a', '/b', '/srv/shop/c', 'd', 'e'] }, 'saved a, /b, c and 2 more'],
    [{ kind: 'rollback', generation: 12 }, 'rollback to generation 12'],
    [{ kind: 'plugin-rollback', plugin: 'auth', version: '1.0.0' }, 'rollback of auth to 1.0.0'],
    [{ kind: 'enable', plugin: 'auth' }, 'enable auth'],
    [{ kind: 'approve' }, 'approve'],
    [{ kind: 'approve', of: { kind: 'rollback', generation: 12 } }, 'approve: rollback to generation 12'],
    [{ kind: 'release', unit: null }, 'release'],
    [{ kind: 'release', unit: 'config' }, 'release config'],
    [
      { kind: 'probation', plugin: 'auth', version: '1.0.0' },
      'auth was taken back to 1.0.0: the new version failed',
    ],
    [{ kind: 'restart', plugin: 'auth' }, 'auth was made anew: its breaker opened'],
    [{ kind: 'quarantine', plugin: 'auth' }, 'auth was quarantined: it blocked a worker'],
    [
      { kind: 'quarantine', plugin: 'auth', harm: 'uncaught' },
      'auth was quarantined: it threw where nobody catches it',
    ],
  ]
  for (const [cause, words] of causes) assert.equal(causeText(cause, DIRECTORY), words)
})

test('pinText() says what runs instead, and how to end that', () => {
  const since = NOW - 120_000
  const textOf = (unit: string, runs: HeldContent) => pinText({ unit, runs, since, who: 'ann' }, NOW)
  const plugin = { kind: 'plugin', contentHash: '3f2a91c0'.repeat(8) } as const
  assert.equal(
    textOf('auth', { ...plugin, version: '1.0.0' }),
    'plugin auth runs as 1.0.0 (3f2a91c0), not as it stands on disk, since 2 min ago (ann); ' +
      '"cardea release auth" or a change of its files ends that',
  )
  assert.match(
    textOf('auth', { ...plugin, version: null }),
    /^plugin auth runs as 3f2a91c0, not as it stands on disk, /,
  )
  // Nothing that a plugin can call itself is taken for that nothing runs.
  assert.match(
    textOf('auth', { ...plugin, version: 'not there' }),
    /^plugin auth runs as not there \(3f2a91c0\), not as /,
  )
  assert.match(
    textOf('config', { kind: 'generation', number: 12 }),
    /^the config runs as generation 12, not as it /,
  )
  assert.match(
    textOf('auth', { kind: 'nothing' }),
    /^plugin auth does not run, although it stands on disk, since .*; "cardea release auth" or a change/,
  )
})
