import { Type } from 'typebox'
import { UPSTREAM_DEFAULTS } from './limits.ts'
import { count, defaulted, duration } from './schema-parts.ts'
import { formatDuration } from './units.ts'

const closed = (description: string) => ({ additionalProperties: false, default: {}, description })

/** One entry of `upstreams` in cardea.yaml. */
export const UPSTREAM_SCHEMA = Type.Object(
  {
    targets: Type.Array(
      Type.String({
        description: 'http or https URL with host and port only, such as "http://127.0.0.1:3000".',
      }),
      { minItems: 1, maxItems: 1_000, description: 'The servers that take the requests.' },
    ),
    balance: defaulted(
      Type.Enum(['round_robin'], {
        default: 'round_robin',
        description: 'How a target is chosen: each in turn.',
      }),
    ),
    connections_max: defaulted(
      count('Connections to one target, per worker.', {
        default: UPSTREAM_DEFAULTS.connectionsMax,
        minimum: 1,
        maximum: 65_535,
      }),
    ),
    idle_connections_max: defaulted(
      count('Idle connections kept to one target, per worker; never more than `connections_max`.', {
        default: UPSTREAM_DEFAULTS.idleConnectionsMax,
        maximum: 65_535,
      }),
    ),
    queue: defaulted(
      Type.Object(
        {
          max: defaulted(
            count(
              'Requests that may wait for a connection to one target, per worker. More go to another target, or get 503.',
              {
                default: UPSTREAM_DEFAULTS.queueMax,
                maximum: 1_000_000,
              },
            ),
          ),
          timeout: defaulted(
            duration('How long a request may wait for a connection. Then it gets 503.', {
              default: formatDuration(UPSTREAM_DEFAULTS.queueTimeoutMs),
              minimum: '1ms',
            }),
          ),
        },
        closed('What happens when all connections are busy.'),
      ),
    ),
    tries: defaulted(
      Type.Object(
        {
          max: defaulted(
            count(
              'Connections that one request may try, the first one included. 1: it is never tried again. A target whose queue is full does not count.',
              { default: UPSTREAM_DEFAULTS.triesMax, minimum: 1, maximum: 1_000 },
            ),
          ),
          timeout: defaulted(
            duration(
              'How long after the first try another one may start. One that has started still has `queue.timeout` and `timeouts.connect`.',
              { default: formatDuration(UPSTREAM_DEFAULTS.triesTimeoutMs), minimum: '1ms' },
            ),
          ),
        },
        closed(
          'How often a request is tried again: with another target when there is no connection to one, or over a new connection when an idle one turns out dead, if it is idempotent and its content can be sent again.',
        ),
      ),
    ),
    timeouts: defaulted(
      Type.Object(
        {
          connect: defaulted(
            duration('From the start of a connection until it stands, TLS included. Then 504.', {
              default: formatDuration(UPSTREAM_DEFAULTS.connectTimeoutMs),
              minimum: '1ms',
            }),
          ),
          response: defaulted(
            duration(
              "From the request's last byte to the response head. Then 504. 0: no limit. Danger: with 0 a hanging server holds requests for ever.",
              { default: formatDuration(UPSTREAM_DEFAULTS.responseTimeoutMs) },
            ),
          ),
          idle: defaulted(
            duration(
              'Between two reads of a response body. 0: no limit, for streams that may be silent for long.',
              {
                default: formatDuration(UPSTREAM_DEFAULTS.idleTimeoutMs),
              },
            ),
          ),
        },
        closed('How long the upstream may take.'),
      ),
    ),
    keep_alive: defaulted(
      duration(
        'How long an idle connection is kept. 0: none is. Danger: longer than the server keeps it, and requests meet closed connections; Node servers close after 5s.',
        { default: formatDuration(UPSTREAM_DEFAULTS.keepAliveMs) },
      ),
    ),
    dns_refresh: defaulted(
      duration('How often the names of the targets are resolved again.', {
        default: formatDuration(UPSTREAM_DEFAULTS.dnsRefreshMs),
        minimum: '100ms',
      }),
    ),
    eject: defaulted(
      Type.Object(
        {
          after: defaulted(
            count('Failures in a row that take a target out of the rotation. 0: never.', {
              default: UPSTREAM_DEFAULTS.ejectAfterFailures,
            }),
          ),
          for: defaulted(
            duration('How long the target stays out.', {
              default: formatDuration(UPSTREAM_DEFAULTS.ejectMs),
              minimum: '1ms',
            }),
          ),
        },
        closed('When a failing target is left alone for a while.'),
      ),
    ),
    tls: Type.Optional(
      Type.Object(
        {
          server_name: defaulted(
            Type.String({
              default: '',
              maxLength: 253,
              pattern: '^[A-Za-z0-9._-]*$',
              patternErrorMessage: 'a host name',
              description:
                "The name sent as SNI and demanded of the certificate. '': the target's own host name.",
            }),
          ),
          ca: defaulted(
            Type.String({
              default: '',
              // A path here would be taken for a certificate and fail at the first request only.
              pattern: '^$|-----BEGIN CERTIFICATE-----',
              patternErrorMessage: 'certificates as PEM text, usually "${file:/path/to/ca.pem}"',
              description:
                'Certificates of the authorities to trust, as PEM text, usually "${file:/path/to/ca.pem}". \'\': those that Node trusts.',
            }),
          ),
          verify: defaulted(
            Type.Boolean({
              default: true,
              description:
                'Whether the certificate is checked. Danger: with false anyone on the way can read and change the traffic.',
            }),
          ),
        },
        { additionalProperties: false, description: 'TLS to targets with https URLs.' },
      ),
    ),
  },
  { additionalProperties: false, description: 'A named set of targets.' },
)
