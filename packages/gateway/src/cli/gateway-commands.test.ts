import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runWithAnswers } from '../../../../tests/support/gateway-command.ts'
import { GatewayError } from '../base/errors.ts'
import type { HistoryEntry, PluginInfo, PluginVersion } from '../protocol/control.ts'
import { type ChangeCommand, changeCommand } from './change-command.ts'
import { configDiffCommand, diffText } from './config-diff.ts'
import { currentUser, type GatewayCommandContext } from './gateway-command.ts'
import { historyCommand } from './history.ts'
import { pluginInfoCommand } from './plugin-info.ts'
import { pluginVersionsCommand } from './plugin-versions.ts'
import { statusCommand, statusText } from './status.ts'
import { failedReport, heldReport, instance, NOW, report, status, trace } from './test-answers.ts'
import { COLORS, PLAIN } from './text.ts'

test('status shows what serves', async (t) => {
  const { code, out, err } = await runWithAnswers(t, { status: status() }, statusCommand)
  assert.deepEqual([code, err], [0, ''])
  assert.equal(
    out,
    `Gateway in /srv/shop, started 3 h ago: generation 14 serves
  http://127.0.0.1:8080

Workers
  worker  pid   generations  requests  open  connections  memory
  1       4711  14           12,345    3     12           82 MB

Plugins
  name  version  from          state
  auth  1.0.0    plugins/auth  active

Instances
  name  version  state   failures
  auth  1.0.0    active  0
`,
  )
})

test('status shows what stands on disk and does not run, why, and what runs instead', () => {
  const given = status({
    pending: failedReport(),
    pins: [{ unit: 'config', runs: { kind: 'generation', number: 12 }, since: NOW - 1_000, who: 'ann' }],
    instances: [
      instance(),
      instance({ name: 'login-limit', plugin: 'rate-limit', state: 'breaker-open', failures: 60 }),
    ],
    workers: [],
    plugins: [],
  })
  assert.equal(
    statusText(given, { paint: PLAIN, now: () => NOW }),
    `Gateway in /srv/shop, started 3 h ago: generation 14 serves
  http://127.0.0.1:8080

On disk, but not live (12 s ago)
The change failed at build: generation 14 serves on
  cause     saved plugins/auth/plugin.ts

  plugins/auth/plugin.ts:2:29 PLUGIN_BUILD_FAILED Cannot build plugin "auth": Unexpected "=>"
    2 | export const PluginMain = ( => 1
      |                             ^
  auth 1.0.0 runs on

Held back
  the config runs as generation 12, not as it stands on disk, since 1 s ago (ann); "cardea release config" or a change of its files ends that

Instances
  name                      version  state         failures
  auth                      1.0.0    active        0
  login-limit (rate-limit)  1.0.0    breaker-open  60
`,
  )
})

test('status shows who keeps old generations, who does not answer, and what happened lately', () => {
  const [worker] = status().workers
  assert.ok(worker?.census)
  const generations = [
    { number: 12, exchanges: 2, oldest: ['GET /events (route sse)', 'GET /ws (route ws)'] },
    { number: 14, exchanges: 1, oldest: ['GET / (route all)'] },
  ]
  const given = status({
    generation: 14,
    workers: [
      { worker: 1, census: { ...worker.census, generations } },
      { worker: 2, census: null },
    ],
    plugins: [],
    instances: [],
    events: [
      { kind: 'decision', at: NOW - 1_000, plugin: 'auth', text: 'is quarantined' },
      { kind: 'change', report: report() },
    ],
  })
  assert.equal(
    statusText(given, { paint: PLAIN, now: () => NOW })
      .split('\n\n')
      .slice(1)
      .join('\n\n'),
    `Workers
  worker  pid              generations      requests  open  connections  memory
  1       4711             12 (2 open), 14  12,345    3     12           82 MB
  2       does not answer
  worker 1 keeps generation 12 for GET /events (route sse), GET /ws (route ws)

Lately
  12 s ago    Generation 15 is live after 48 ms: plugin auth 1.0.0 → 1.1.0
  1 s ago     auth: is quarantined
`,
  )
})

test('status and plugin info tell what stands on disk from what runs', async (t) => {
  const { out } = await runWithAnswers(t, { status: status({ pending: failedReport() }) }, statusCommand)
  assert.match(out, /^Plugins, as they stand on disk$/m)
  const info: PluginInfo = {
    name: 'auth',
    version: '1.0.0',
    description: '',
    folder: '',
    state: { kind: 'built' },
    pin: null,
    category: null,
    dependencies: {},
    permissions: [],
    instances: [{ ...instance(), routes: [], config: {}, sources: {} }],
    versions: [],
  }
  const shown = async (given: PluginInfo) =>
    (
      await runWithAnswers(t, { 'plugin-info': given }, (context) => pluginInfoCommand('auth', context))
    ).out.split('\n')[0]
  assert.equal(await shown(info), 'Plugin auth 1.0.0: runs; on disk it is built')
  assert.equal(await shown({ ...info, instances: [] }), 'Plugin auth 1.0.0: built')
  const unfound = { ...info, state: { kind: 'stopped', generation: 0 } } as const
  assert.equal(await shown(unfound), 'Plugin auth 1.0.0: runs; nothing on disk has its name')
  const runs = { kind: 'plugin', version: '1.0.0', contentHash: '3f2a91c0' }
  const pin = { unit: 'auth', runs, since: NOW - 5_000, who: 'gateway' }
  const held = await runWithAnswers(t, { 'plugin-info': { ...info, pin } }, (context) =>
    pluginInfoCommand('auth', context),
  )
  assert.match(
    held.out,
    /^ {2}Held back: plugin auth runs as 1\.0\.0 \(3f2a91c0\), not as it stands on disk, since 5 s ago \(gateway\); "cardea release auth" /m,
  )
})

test('status says loudly that nothing serves, and not of a start that nothing serves yet', () => {
  const options = { paint: PLAIN, now: () => NOW }
  const text = statusText(status({ generation: 0, pending: failedReport() }), options)
  assert.match(text, /: no generation can be served: every request is answered 503\n/)
  assert.match(
    statusText(status({ generation: 0 }), options),
    /: nothing serves yet: the gateway is starting\n/,
  )
})

const ENTRY: HistoryEntry = {
  number: 14,
  at: NOW - 60_000,
  cause: { kind: 'files', files: ['cardea.yaml'] },
  who: 'gateway',
  changes: ['a', 'b', 'c', 'd', 'e', 'f'],
  isLive: true,
  isStored: true,
  isWayBack: false,
}

test('history lists generations with cause and changes', async (t) => {
  const entries: HistoryEntry[] = [
    ENTRY,
    {
      ...ENTRY,
      number: 13,
      at: NOW - 86_400_000,
      cause: { kind: 'approve' },
      who: 'ann',
      changes: ['g'],
      isLive: false,
      isWayBack: true,
    },
    { ...ENTRY, number: 2, at: NOW, cause: { kind: 'start' }, changes: [], isLive: false, isStored: false },
  ]
  const { code, out, asked } = await runWithAnswers(t, { history: entries }, (context) =>
    historyCommand(3, context),
  )
  assert.deepEqual(asked, [{ command: 'history', limit: 3 }])
  assert.equal(code, 0)
  assert.equal(
    out,
    `  generation        when       who      why                what changed
  14          live  1 min ago  gateway  saved cardea.yaml  a
                                                           b
                                                           c
                                                           d
                                                           and 2 more
  13                1 d ago    ann      approve            g
  2           gone  just now   gateway  start

"cardea rollback 13" brings one back.
`,
  )
})

test('history names the generation that a rollback goes to, and not simply the newest', async (t) => {
  const entries: HistoryEntry[] = [
    ENTRY,
    { ...ENTRY, number: 13, isLive: false },
    { ...ENTRY, number: 12, isLive: false, isWayBack: true },
  ]
  const show = async (some: readonly HistoryEntry[]) =>
    (await runWithAnswers(t, { history: some }, (context) => historyCommand(3, context))).out
  assert.match(await show(entries), /\n"cardea rollback 12" brings one back\.\n$/)
  assert.doesNotMatch(await show(entries.slice(0, 2)), /cardea rollback/)
})

test('history says that there is none', async (t) => {
  const { out } = await runWithAnswers(t, { history: [] }, (context) => historyCommand(20, context))
  assert.equal(out, 'There is no generation yet.\n')
})

const VERSION: PluginVersion = {
  version: '1.1.0',
  contentHash: '3f2a91c0'.repeat(8),
  generations: [{ first: 12, last: 14 }],
  at: NOW - 5_000,
  isLive: true,
  hasFailed: false,
  isWayBack: false,
}

test('plugin versions shows each with the beginning of its hash', async (t) => {
  const former = { ...VERSION, version: '1.0.0', generations: [{ first: 1, last: 1 }], isLive: false }
  const versions = [VERSION, former]
  const { out } = await runWithAnswers(t, { 'plugin-versions': versions }, (context) =>
    pluginVersionsCommand('auth', context),
  )
  assert.equal(
    out,
    `  version  content         generations  since
  1.1.0    3f2a91c0  live  12–14        5 s ago
  1.0.0    3f2a91c0        1            5 s ago
`,
  )
})

test('plugin info shows where a plugin runs, and where each value is from', async (t) => {
  const info: PluginInfo = {
    name: 'rate-limit',
    version: '1.1.0',
    description: 'Limits requests',
    folder: '/srv/shop/plugins/rate-limit',
    state: { kind: 'active', generation: 12 },
    pin: null,
    category: 'traffic',
    dependencies: { session: '^1.0.0' },
    permissions: ['kv'],
    instances: [
      {
        ...instance({ name: 'login-limit', plugin: 'rate-limit', failures: 1 }),
        routes: ['api', 'login'],
        config: { limit: 5, by: { 'a/b': ['ip'] } },
        sources: { '/limit': 'cardea.yaml: plugins.login-limit.config', '/by/a~1b': 'plugin.json' },
      },
    ],
    versions: [VERSION],
  }
  const { out } = await runWithAnswers(t, { 'plugin-info': info }, (context) =>
    pluginInfoCommand('rate-limit', context),
  )
  assert.equal(
    out,
    `Plugin rate-limit 1.1.0: active
  Limits requests
  from        /srv/shop/plugins/rate-limit
  category    traffic
  depends on  session ^1.0.0
  may         kv

Instance login-limit (rate-limit): active, 1 failure, on routes api, login
  key        value   from
  limit      5       cardea.yaml: plugins.login-limit.config
  by["a/b"]  ["ip"]  plugin.json

Versions
  version  content         generations  since
  1.1.0    3f2a91c0  live  12–14        5 s ago
`,
  )
})

test('config diff shows what differs, coloured on a terminal, and nothing that could move its cursor', async (t) => {
  const text = '--- generation 14\n+++ cardea.yaml\n@@ -1,1 +1,1 @@\n-a\n+b\u001b[2J\r\n'
  const diff = { from: 'generation 14', to: 'cardea.yaml', text }
  const { code, out, asked } = await runWithAnswers(t, { 'config-diff': diff }, (context) =>
    configDiffCommand(14, context),
  )
  assert.deepEqual([code, asked], [0, [{ command: 'config-diff', generation: 14 }]])
  assert.equal(out, text.replace('\u001b', '\ufffd').replace('\r', '\ufffd'))
  assert.equal(diffText(diff, COLORS).split('\n')[3], '\u001b[31m-a\u001b[0m')
  assert.equal(
    diffText({ ...diff, text: '' }, PLAIN),
    'No difference between generation 14 and cardea.yaml.\n',
  )
})

const CHANGES: ChangeCommand[] = [
  { command: 'rollback', generation: 12 },
  { command: 'rollback', generation: null },
  { command: 'approve' },
  { command: 'release', unit: 'auth' },
  { command: 'plugin-rollback', plugin: 'auth', version: null },
  { command: 'plugin-enable', plugin: 'auth' },
  { command: 'plugin-disable', plugin: 'auth' },
  { command: 'plugin-reload', plugin: 'auth' },
]

test('commands that ask for a change end with 0 when it is live or nothing was to do', async (t) => {
  for (const command of CHANGES) {
    for (const outcome of ['committed', 'unchanged'] as const) {
      const answers = { [command.command]: report({ outcome }) }
      const { code, out, err, asked } = await runWithAnswers(t, answers, (context) =>
        changeCommand(command, context),
      )
      assert.deepEqual([code, err, asked], [0, '', [command]])
      assert.match(out, outcome === 'committed' ? /^Generation 15 is live / : /^Nothing changed/)
    }
  }
})

test('commands that ask for a change end with 1 when it failed or is held, and say what serves', async (t) => {
  const [command] = CHANGES
  assert.ok(command)
  for (const given of [failedReport(), heldReport()]) {
    const answers = { rollback: given, status: status() }
    const { code, out, err } = await runWithAnswers(t, answers, (context) => changeCommand(command, context))
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, /^The change (failed at build|is held): generation 14 serves on\n/)
  }
  const answers = { rollback: failedReport(), status: new Error('not now') }
  const { code, err } = await runWithAnswers(t, answers, (context) => changeCommand(command, context))
  assert.equal(code, 1)
  assert.match(err, /^The change failed at build: nothing of it is live\n/)
})

test('--json prints the result as it is, whatever became of it', async (t) => {
  for (const given of [report(), failedReport()]) {
    const { code, out, err, asked } = await runWithAnswers(
      t,
      { approve: given },
      (context) => changeCommand({ command: 'approve' }, context),
      true,
    )
    assert.deepEqual(JSON.parse(out), given)
    assert.deepEqual([code, err, asked.length], [given.outcome === 'failed' ? 1 : 0, '', 1])
  }
})

test('a command that cannot be done ends with 1 and its code, as JSON too', async (t) => {
  const answers = { 'plugin-info': new GatewayError('PLUGIN_NOT_FOUND', 'There is no plugin "x\u001b"') }
  const info = (context: GatewayCommandContext) => pluginInfoCommand('x', context)
  const plain = await runWithAnswers(t, answers, info)
  assert.deepEqual(
    [plain.code, plain.out, plain.err],
    [1, '', 'PLUGIN_NOT_FOUND: There is no plugin "x\ufffd"\n'],
  )
  const json = await runWithAnswers(t, answers, info, true)
  assert.deepEqual(JSON.parse(json.out), {
    error: { code: 'PLUGIN_NOT_FOUND', message: 'There is no plugin "x\u001b"' },
  })
})

test('what gateways say reaches no terminal unchecked', () => {
  const evil = 'x\u001b[2J'
  const given = status({
    directory: `/${evil}`,
    plugins: [
      {
        folder: `/${evil}`,
        name: evil,
        version: evil,
        state: { kind: 'failed', stage: 'build', faults: [] },
      },
    ],
    instances: [instance({ name: evil })],
    pending: failedReport({ problems: [] }),
    pins: [{ unit: evil, runs: { kind: 'plugin', version: evil, contentHash: evil }, since: NOW, who: evil }],
    events: [
      { kind: 'worker', at: NOW, worker: 1, text: evil },
      { kind: 'trace', trace: trace({ url: evil, route: evil, target: evil, error: evil }) },
    ],
  })
  assert.doesNotMatch(statusText(given, { paint: PLAIN, now: () => NOW }), /\u001b/)
})

test('currentUser() is who called sudo', () => {
  assert.equal(currentUser({ SUDO_USER: 'ann' }), 'ann')
  assert.notEqual(currentUser({}), '')
})
