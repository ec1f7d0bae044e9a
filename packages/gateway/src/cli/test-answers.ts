import type {
  ChangeProblem,
  ChangeReport,
  GatewayStatus,
  InstanceStatus,
  LostPlugin,
} from '../protocol/control.ts'
import type { ExchangeTrace } from '../protocol/trace.ts'
import type { GatewayCommandContext } from './gateway-command.ts'
import { PLAIN } from './text.ts'

/** Answers of a gateway, for the tests of what is shown of them. All times are relative to NOW. */

export const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)
export const DIRECTORY = '/srv/shop'

export function report(parts: Partial<ChangeReport> = {}): ChangeReport {
  return {
    outcome: 'committed',
    generation: 15,
    at: NOW - 12_000,
    cause: { kind: 'files', files: ['/srv/shop/plugins/auth/plugin.ts'] },
    who: 'gateway',
    changes: ['plugin auth 1.0.0 → 1.1.0'],
    started: ['auth'],
    carried: ['cors', 'jwt', 'rate-limit', ...Array.from({ length: 15 }, (_, index) => `plugin-${index}`)],
    stages: [
      { stage: 'build', ms: 3.14 },
      { stage: 'trial', ms: 21.6 },
      { stage: 'total', ms: 48.2 },
    ],
    skewMs: 0.42,
    problems: [],
    held: [],
    heldId: null,
    notices: [],
    ...parts,
  }
}

export function problem(parts: Partial<ChangeProblem> = {}): ChangeProblem {
  return {
    stage: 'build',
    code: 'PLUGIN_BUILD_FAILED',
    message: 'Cannot build plugin "auth": Unexpected "=>"',
    file: '/srv/shop/plugins/auth/plugin.ts',
    line: 2,
    column: 29,
    plugin: 'auth',
    frame: '2 | export const PluginMain = ( => 1\n  |                             ^',
    stack: null,
    ...parts,
  }
}

export function failedReport(parts: Partial<ChangeReport> = {}): ChangeReport {
  return report({
    outcome: 'failed',
    changes: [],
    started: [],
    carried: [],
    stages: [],
    skewMs: null,
    problems: [problem()],
    ...parts,
  })
}

export function loss(parts: Partial<LostPlugin> = {}): LostPlugin {
  return {
    kind: 'loss',
    route: 'api',
    to: 'api',
    plugin: 'auth',
    instead: null,
    reason: 'plugin "auth" is gone from plugins/',
    ...parts,
  }
}

export function heldReport(parts: Partial<ChangeReport> = {}): ChangeReport {
  return report({
    outcome: 'held',
    changes: ['route api: −auth'],
    started: [],
    carried: [],
    stages: [],
    skewMs: null,
    held: [loss()],
    heldId: '3f9a1c2b',
    ...parts,
  })
}

export function instance(parts: Partial<InstanceStatus> = {}): InstanceStatus {
  return { name: 'auth', plugin: 'auth', version: '1.0.0', state: 'active', failures: 0, ...parts }
}

export function status(parts: Partial<GatewayStatus> = {}): GatewayStatus {
  return {
    generation: 14,
    startedAt: NOW - 3 * 3_600_000,
    directory: DIRECTORY,
    config: `${DIRECTORY}/cardea.yaml`,
    addresses: [{ host: '0.0.0.0', port: 8080 }],
    lostAddresses: [],
    workers: [
      {
        worker: 1,
        census: {
          pid: 4711,
          rssBytes: 82 * 1024 * 1024,
          heapBytes: 1,
          connections: 12,
          exchanges: 3,
          requestsTotal: 12_345,
          generations: [{ number: 14, exchanges: 3, oldest: [] }],
        },
      },
    ],
    plugins: [
      {
        folder: '/srv/shop/plugins/auth',
        name: 'auth',
        version: '1.0.0',
        state: { kind: 'active', generation: 12 },
      },
    ],
    instances: [instance()],
    pending: null,
    asked: null,
    waiting: null,
    pins: [],
    events: [],
    ...parts,
  }
}

export function trace(parts: Partial<ExchangeTrace> = {}): ExchangeTrace {
  return {
    id: 'x',
    worker: 1,
    generation: 14,
    method: 'GET',
    url: '/api/x',
    route: 'api',
    status: 200,
    totalMs: 4.06,
    upstreamMs: 3.21,
    target: 'http://127.0.0.1:3000',
    plugins: [{ name: 'auth', handle: 0.12, onResponse: 0, outcome: 'passed' }],
    error: null,
    aborted: false,
    ...parts,
  }
}

/** Collects what a command writes to `io` in `printed`. */
export function testOutput() {
  const printed = { out: '', err: '' }
  const io = {
    out: (text: string) => {
      printed.out += text
    },
    err: (text: string) => {
      printed.err += text
    },
  }
  return { io, printed }
}

export function testContext(parts: Partial<GatewayCommandContext> = {}) {
  const { io, printed } = testOutput()
  const context: GatewayCommandContext = {
    directory: DIRECTORY,
    json: false,
    paint: PLAIN,
    now: () => NOW,
    io,
    ...parts,
  }
  return { context, printed }
}
