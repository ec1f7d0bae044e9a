import { Type } from 'typebox'
import { CHANGE_DEFAULTS, FAULT_DEFAULTS } from './limits.ts'
import { count, defaulted, duration, section } from './schema-parts.ts'
import { formatDuration } from './units.ts'

/** The `changes`, `faults` and `state` sections of cardea.yaml. */

export const CHANGES_SCHEMA = Type.Object(
  {
    generations_live_max: defaulted(
      count(
        'Generations that may be alive at once because streams still run on them; past it a change waits, but for what the gateway does against a plugin that fails.',
        { default: CHANGE_DEFAULTS.generationsLiveMax, minimum: 2, maximum: 1_000 },
      ),
    ),
    stream_deadline: defaulted(
      duration(
        'How long streams and tunnels may stay on a generation after its successor came; then they are cut. 0: for ever.',
        { default: formatDuration(CHANGE_DEFAULTS.streamDeadlineMs) },
      ),
    ),
    plugin_versions_max: defaulted(
      count('Stored versions of each plugin; those in use and those that a rollback may need come on top.', {
        default: CHANGE_DEFAULTS.pluginVersionsMax,
        minimum: 1,
        maximum: 10_000,
      }),
    ),
    generations_max: defaulted(
      count('Generations that are kept for `cardea rollback`.', {
        default: CHANGE_DEFAULTS.generationsMax,
        minimum: 2,
        maximum: 100_000,
      }),
    ),
  },
  section('How changes go live and what is kept of them.'),
)

export const FAULTS_SCHEMA = Type.Object(
  {
    stall: defaulted(
      duration(
        'A hook that keeps the event loop this long is ended and its plugin quarantined. 0: never. Danger: without it one endless loop stops a worker.',
        { default: formatDuration(FAULT_DEFAULTS.stallMs) },
      ),
    ),
    breaker_ratio: defaulted(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 1,
        default: FAULT_DEFAULTS.breakerRatio,
        description:
          'Share of timed-out calls at which the breaker of an instance opens in a worker. While it is open `on_failure` decides for every request. Danger: clients whose requests make a plugin slow can open it for all others.',
      }),
    ),
    breaker_calls_min: defaulted(
      count('Calls within `breaker_window` below which the breaker never opens.', {
        default: FAULT_DEFAULTS.breakerCallsMin,
        minimum: 1,
        maximum: 1_000_000,
      }),
    ),
    breaker_window: defaulted(
      duration('The time that calls are counted over.', {
        default: formatDuration(FAULT_DEFAULTS.breakerWindowMs),
        minimum: '100ms',
      }),
    ),
    breaker_open: defaulted(
      duration(
        'How long an open breaker waits before it lets calls through to probe; doubles while they fail.',
        {
          default: formatDuration(FAULT_DEFAULTS.breakerOpenMs),
          minimum: '10ms',
        },
      ),
    ),
    probation: defaulted(
      duration(
        'A new plugin version whose breaker opens within this time is taken back to the version before. 0: never.',
        { default: formatDuration(FAULT_DEFAULTS.probationMs) },
      ),
    ),
    probation_security: defaulted(
      Type.Boolean({
        default: FAULT_DEFAULTS.probationSecurity,
        description:
          'Whether security plugins are taken back too. Danger: whoever can make the new version time out brings the old one back.',
      }),
    ),
  },
  section('When failing plugins have consequences beyond the request that they failed.'),
)

export const STATE_SCHEMA = Type.Object(
  {
    redis: Type.String({
      pattern: '^rediss?://[^\\s]+$',
      patternErrorMessage: 'a URL such as "redis://127.0.0.1:6379" or "rediss://:PASSWORD@HOST:PORT"',
      writeOnly: true,
      description:
        'URL of a Redis or Valkey, in which limits of requests (host.quota) are kept: one limit for all gateways that use it.',
    }),
    on_loss: defaulted(
      Type.Enum(['local', 'allow', 'refuse'], {
        default: 'local',
        description:
          'What limits do while it cannot be reached: "local" each gateway by itself, "allow" let everything through, "refuse" refuse everything.',
      }),
    ),
  },
  { additionalProperties: false, description: 'What several gateways share. Default: nothing.' },
)
