import type { Static } from 'typebox'
import { Type } from 'typebox'
import { HEADER_COUNT_CEILING, LIMIT_DEFAULTS, TIMEOUT_DEFAULTS } from './limits.ts'
import { CHANGES_SCHEMA, FAULTS_SCHEMA, STATE_SCHEMA } from './schema-changes.ts'
import { count, defaulted, duration, NAME, record, section, size, toJsonSchema } from './schema-parts.ts'
import { PLUGIN_ENTRIES } from './schema-plugin.ts'
import { ROUTE_SCHEMA } from './schema-route.ts'
import { UPSTREAM_SCHEMA } from './schema-upstream.ts'
import { formatDuration, formatSize } from './units.ts'

/** The file form of cardea.yaml: the single source for checks, types, editor schemas and the reference page. */

const LIMITS_SCHEMA = Type.Object(
  {
    head_bytes: defaulted(
      size('A request or response head. Longer gets 431.', {
        default: formatSize(LIMIT_DEFAULTS.headBytesMax),
        minimum: '256B',
      }),
    ),
    request_line_bytes: defaulted(
      size('Method, target and version; never more than `head_bytes`. Longer gets 414.', {
        default: formatSize(LIMIT_DEFAULTS.requestLineBytesMax),
        minimum: '64B',
      }),
    ),
    header_count: defaulted(
      count('Field lines of one head. More get 431.', {
        default: LIMIT_DEFAULTS.headerCountMax,
        minimum: 1,
        maximum: HEADER_COUNT_CEILING,
      }),
    ),
    body_bytes: defaulted(
      size(
        'What bytes(), text() and json() gather for a plugin. Longer gets 413 (request) or 502 (response). Danger: every exchange may hold that much memory.',
        { default: formatSize(LIMIT_DEFAULTS.bodyBytesMax), minimum: '1B' },
      ),
    ),
    request_body_bytes: defaulted(
      size('Content of one request, relayed or gathered. Longer gets 413. 0: no limit.', {
        default: formatSize(LIMIT_DEFAULTS.requestBodyBytesMax),
      }),
    ),
    trailer_bytes: defaulted(
      size('Trailer section of a chunked body. Longer gets 431 (request) or 502 (response).', {
        default: formatSize(LIMIT_DEFAULTS.trailerBytesMax),
      }),
    ),
    chunk_extension_bytes: defaulted(
      size('Chunk extensions of one body, all together. More get 400.', {
        default: formatSize(LIMIT_DEFAULTS.chunkExtensionBytesMax),
      }),
    ),
    connections: defaulted(
      count(
        'Client connections of one worker; fewer where the system lets it open too few files. Further ones are answered 503 and closed.',
        {
          default: LIMIT_DEFAULTS.connectionsMax,
          minimum: 1,
          maximum: 10_000_000,
        },
      ),
    ),
    pending_requests: defaulted(
      count('Requests of one worker that have no response head yet. More get 503.', {
        default: LIMIT_DEFAULTS.pendingRequestsMax,
        minimum: 1,
        maximum: 10_000_000,
      }),
    ),
    pipelined_bytes: defaulted(
      size(
        'Held of what a client sends before its turn: further pipelined requests, content that nobody takes yet. Past it reading pauses. A client that leaves then by a reset is noticed within a second or two; one that closes in order (FIN) only when all that it had sent has been read, or when a timeout of the upstream ends the request.',
        {
          default: formatSize(LIMIT_DEFAULTS.pipelinedBytesMax),
          minimum: '1KiB',
        },
      ),
    ),
    relay_buffer_bytes: defaulted(
      size('What may wait in one direction of a relay before the other side is paused.', {
        default: formatSize(LIMIT_DEFAULTS.relayBufferBytes),
        minimum: '4KiB',
      }),
    ),
    linger_bytes: defaulted(
      size('What is still read, and thrown away, after an early answer, so that the client sees it.', {
        default: formatSize(LIMIT_DEFAULTS.lingerBytesMax),
      }),
    ),
    requests_per_connection: defaulted(
      count('Requests after which a client connection is closed. 0: no limit.', {
        default: LIMIT_DEFAULTS.requestsPerConnectionMax,
      }),
    ),
  },
  section('Bounds on what a peer may make the gateway hold.'),
)

const TIMEOUTS_SCHEMA = Type.Object(
  {
    head: defaulted(
      duration('From the first byte of a request to the end of its head. Then 408.', {
        default: formatDuration(TIMEOUT_DEFAULTS.headMs),
        minimum: '1ms',
      }),
    ),
    body: defaulted(
      duration('Between two reads of a request body. Then 408.', {
        default: formatDuration(TIMEOUT_DEFAULTS.bodyMs),
        minimum: '1ms',
      }),
    ),
    idle: defaulted(
      duration('How long a client connection without a request is kept.', {
        default: formatDuration(TIMEOUT_DEFAULTS.idleMs),
        minimum: '1ms',
      }),
    ),
    send: defaulted(
      duration('How long a client may take no bytes of its response.', {
        default: formatDuration(TIMEOUT_DEFAULTS.sendMs),
        minimum: '1ms',
      }),
    ),
    tunnel_idle: defaulted(
      duration('How long a tunnel (Upgrade, such as WebSocket) may be silent in both directions.', {
        default: formatDuration(TIMEOUT_DEFAULTS.tunnelIdleMs),
        minimum: '1ms',
      }),
    ),
    linger: defaulted(
      duration('How long the rest of a request is still read after an early answer.', {
        default: formatDuration(TIMEOUT_DEFAULTS.lingerMs),
      }),
    ),
    drain: defaulted(
      duration(
        'From SIGTERM to the end. What has no answer shortly before gets 503; an answer that has begun is reset.',
        {
          default: formatDuration(TIMEOUT_DEFAULTS.drainMs),
        },
      ),
    ),
    minimum_rate: defaulted(
      size('Bytes per second below which, after `head`, a request body ends with 408. 0: no minimum.', {
        default: formatSize(TIMEOUT_DEFAULTS.minimumRateBytesPerSecond),
      }),
    ),
  },
  section('How long a client may take.'),
)

const LISTENER_SCHEMA = Type.Object(
  {
    host: defaulted(
      Type.String({
        default: '0.0.0.0',
        minLength: 1,
        maxLength: 253,
        description:
          'IP address or host name to listen on. Danger: "0.0.0.0" and "::" are all networks of the machine.',
      }),
    ),
    port: defaulted(
      Type.Integer({ minimum: 0, maximum: 65_535, default: 8080, description: 'TCP port. 0: any free one.' }),
    ),
  },
  { additionalProperties: false, description: 'One address to listen on.' },
)

const CARDEA_SCHEMA = Type.Object(
  {
    $schema: Type.Optional(
      Type.String({ description: 'Where the JSON Schema of this file is; for editors.' }),
    ),
    listen: defaulted(
      Type.Array(LISTENER_SCHEMA, { minItems: 1, default: [{}], description: 'The addresses to listen on.' }),
    ),
    workers: defaulted(
      Type.Union([Type.Literal('auto'), Type.Integer({ minimum: 1, maximum: 64 })], {
        default: 'auto',
        description: 'Worker processes. "auto": one per core that this process may use, at most 64.',
      }),
    ),
    plugins_dir: defaulted(
      Type.String({
        default: './plugins',
        minLength: 1,
        description:
          'The folder of plugin folders, relative to this file; one that is named must be there. Danger: what is in it is run.',
      }),
    ),
    upstreams: defaulted(
      record(NAME, UPSTREAM_SCHEMA, { default: {}, description: 'The servers behind the gateway, by name.' }),
    ),
    routes: defaulted(
      Type.Array(ROUTE_SCHEMA, {
        default: [],
        maxItems: 100_000,
        description: 'Which requests go where. Their order does not matter: the most specific match wins.',
      }),
    ),
    plugins: defaulted(
      PLUGIN_ENTRIES('Instances on every route, and overrides for all routes. Keys are instance names.'),
    ),
    limits: defaulted(LIMITS_SCHEMA),
    timeouts: defaulted(TIMEOUTS_SCHEMA),
    trusted_proxies: defaulted(
      Type.Array(Type.String({ description: 'An IP address or CIDR block, such as "10.0.0.0/8".' }), {
        default: [],
        uniqueItems: true,
        description:
          'Proxies whose X-Forwarded-* and Forwarded fields are believed. Danger: whoever can connect from these addresses can claim any client address.',
      }),
    ),
    via: defaulted(
      Type.String({
        default: 'cardea',
        pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        patternErrorMessage: 'a token without spaces (RFC 9110, 5.6.2)',
        description: 'The name of this gateway in the Via field (RFC 9110, 7.6.3).',
      }),
    ),
    half_close: defaulted(
      Type.Enum(['abort', 'serve'], {
        default: 'abort',
        description:
          'A client that closes its sending side while its answer is pending: "abort" takes it as gone, "serve" still answers it.',
      }),
    ),
    changes: defaulted(CHANGES_SCHEMA),
    faults: defaulted(FAULTS_SCHEMA),
    state: Type.Optional(STATE_SCHEMA),
    debug: defaulted(
      Type.Boolean({
        default: false,
        description:
          'Answers carry X-Cardea-Generation, the number of the generation that made them. Danger: it tells clients when you change what.',
      }),
    ),
    log: defaulted(
      Type.Object(
        {
          level: defaulted(
            Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], {
              default: 'info',
              description: 'The least severe level that is written.',
            }),
          ),
          format: defaulted(
            Type.Enum(['json', 'pretty', 'auto'], {
              default: 'auto',
              description:
                '"json" one object per line, "pretty" for people, "auto" pretty on a terminal only.',
            }),
          ),
        },
        section('What the gateway writes to its log.'),
      ),
    ),
  },
  {
    additionalProperties: false,
    title: 'cardea.yaml',
    description: 'The configuration of a Cardea gateway.',
  },
)

export const CARDEA_JSON_SCHEMA = toJsonSchema(CARDEA_SCHEMA)

/** cardea.yaml with defaults applied. */
export type CardeaFile = Static<typeof CARDEA_SCHEMA>
