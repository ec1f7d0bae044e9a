/**
 * Every code that Cardea reports, in one table: docs/reference/errors.md is generated from it and a test holds the two
 * together. A message is a sentence: the offender first, then the reason, then the way out.
 */

export type ErrorSource = 'client' | 'upstream' | 'plugin' | 'config' | 'gateway'

/** Whether sending the same request again can help, and when it is safe. */
export type Retry = 'never' | 'idempotent' | 'always'

export interface ErrorKind {
  /** The status a client gets; 0 where no exchange is involved. */
  readonly status: number
  readonly source: ErrorSource
  readonly retry: Retry
  /** One phrase: what it means. Also the `title` of the problem body (RFC 9457). */
  readonly title: string
  readonly cause: string
  readonly cure: string
}

const client = (status: number, title: string, cause: string, cure: string): ErrorKind => ({
  status,
  source: 'client',
  retry: 'never',
  title,
  cause,
  cure,
})
const upstream = (status: number, retry: Retry, title: string, cause: string, cure: string): ErrorKind => ({
  status,
  source: 'upstream',
  retry,
  title,
  cause,
  cure,
})
const plugin = (status: number, title: string, cause: string, cure: string): ErrorKind => ({
  status,
  source: 'plugin',
  retry: 'never',
  title,
  cause,
  cure,
})
const config = (title: string, cause: string, cure: string): ErrorKind => ({
  status: 0,
  source: 'config',
  retry: 'never',
  title,
  cause,
  cure,
})
const gateway = (status: number, retry: Retry, title: string, cause: string, cure: string): ErrorKind => ({
  status,
  source: 'gateway',
  retry,
  title,
  cause,
  cure,
})

export const ERRORS = {
  // Requests that are refused before a plugin sees them.
  REQUEST_MALFORMED: client(
    400,
    'The request is not valid HTTP/1.1',
    'The head or the framing of the body breaks RFC 9110 or RFC 9112; the detail names the rule.',
    'Mend the client. Cardea never guesses: what one reader takes for one request, another takes for two.',
  ),
  REQUEST_PATH_REFUSED: client(
    400,
    'The path is ambiguous',
    'It holds an encoded slash, backslash or NUL, or an empty segment, which servers read in different ways.',
    'Send the plain path, or let the route accept it with `allow_in_path`.',
  ),
  REQUEST_HEAD_TIMEOUT: client(
    408,
    'The request head took too long',
    'The head was not complete within `timeouts.head`.',
    'Send the head at once, or raise the limit.',
  ),
  REQUEST_BODY_TIMEOUT: client(
    408,
    'The request body took too long',
    'No byte came for `timeouts.body`, or fewer than `timeouts.minimum_rate`.',
    'Send the body without pauses, or raise the limit.',
  ),
  REQUEST_BODY_TOO_LARGE: client(
    413,
    'The request body is too large',
    'It is longer than `limits.request_body_bytes`, or than `limits.body_bytes` where a plugin reads it.',
    'Send less, or raise the limit for the route.',
  ),
  REQUEST_TARGET_TOO_LONG: client(
    414,
    'The request line is too long',
    'It is longer than `limits.request_line_bytes`.',
    'Move data from the query into the body, or raise the limit.',
  ),
  REQUEST_EXPECTATION_UNKNOWN: client(
    417,
    'The expectation cannot be met',
    'The Expect field asks for something other than 100-continue (RFC 9110, 10.1.1).',
    'Leave the field out.',
  ),
  REQUEST_HEAD_TOO_LARGE: client(
    431,
    'The request head is too large',
    'It is longer than `limits.head_bytes`, or has more field lines than `limits.header_count`.',
    'Send fewer or smaller fields (often cookies), or raise the limit.',
  ),
  REQUEST_METHOD_UNSUPPORTED: client(
    501,
    'The method is not supported',
    'CONNECT asks for a forward proxy; Cardea is a reverse proxy.',
    'Use another method.',
  ),
  REQUEST_VERSION_UNSUPPORTED: client(
    505,
    'The HTTP version is not supported',
    'The request line names a version other than HTTP/1.0 and HTTP/1.1.',
    'Use HTTP/1.1.',
  ),
  CLIENT_ABORTED: client(
    499,
    'The client went away',
    'The connection was closed or reset before the response was complete.',
    'Nothing to do; many of them hint at a slow upstream or an impatient client.',
  ),
  CLIENT_TOO_SLOW: client(
    499,
    'The client took no bytes of the response',
    'Nothing could be written for `timeouts.send`.',
    'Read the response, or raise the limit.',
  ),
  ROUTE_NOT_FOUND: client(
    404,
    'No route matches',
    'Host, path, method and headers match no route of the configuration.',
    'Add a route, or ask for another path. `cardea plugin list` shows the routes.',
  ),
  METHOD_NOT_ALLOWED: client(
    405,
    'No route takes this method',
    'A route matches host and path, but none matches the method.',
    'Use one of the methods in the Allow field.',
  ),
  // The gateway's own bounds.
  GATEWAY_OVERLOADED: gateway(
    503,
    'always',
    'The gateway is at its limit',
    'The worker holds `limits.connections` connections or `limits.pending_requests` unanswered requests.',
    'Try again; raise the limit or add workers if it stays.',
  ),
  GATEWAY_NOT_READY: gateway(
    503,
    'always',
    'The gateway has no generation to serve',
    'It is starting, or draining.',
    'Try again in a moment.',
  ),
  INTERNAL_ERROR: gateway(
    500,
    'never',
    'The gateway made a mistake',
    'An invariant of Cardea itself did not hold; the log has the stack.',
    'Report it with the log line.',
  ),
  // Upstreams.
  UPSTREAM_CONNECT_FAILED: upstream(
    502,
    'always',
    'The upstream cannot be reached',
    'The connection was refused, reset or unreachable, or TLS failed.',
    'Check that the target listens at the configured address and that its certificate is trusted.',
  ),
  UPSTREAM_DNS_FAILED: upstream(
    502,
    'always',
    "The upstream's name cannot be resolved",
    'DNS has no address for the host name of the target.',
    'Check the name in `upstreams`, and the resolver of this machine.',
  ),
  UPSTREAM_CONNECT_TIMEOUT: upstream(
    504,
    'always',
    'The upstream did not accept the connection in time',
    'No connection within `timeouts.connect` of the upstream.',
    'Check the network and the load of the target.',
  ),
  UPSTREAM_QUEUE_FULL: upstream(
    503,
    'always',
    'Too many requests wait for the upstream',
    'All connections are busy and `queue.max` requests wait already.',
    'Raise `connections_max`, add targets, or shed load earlier.',
  ),
  UPSTREAM_QUEUE_TIMEOUT: upstream(
    503,
    'always',
    'No connection to the upstream came free in time',
    'The request waited `queue.timeout` for a connection.',
    'Raise `connections_max`, add targets, or shed load earlier.',
  ),
  UPSTREAM_RESPONSE_TIMEOUT: upstream(
    504,
    'idempotent',
    'The upstream did not answer in time',
    'No response head within `timeouts.response` of the upstream.',
    'Make the upstream faster, or raise the limit for it.',
  ),
  UPSTREAM_IDLE_TIMEOUT: upstream(
    504,
    'idempotent',
    'The upstream stopped in the middle of its response',
    'No byte of the body for `timeouts.idle` of the upstream.',
    'Raise the limit for upstreams that stream slowly.',
  ),
  UPSTREAM_RESPONSE_INVALID: upstream(
    502,
    'never',
    'The upstream answered with something that is not valid HTTP/1.1',
    'Its head or framing breaks RFC 9110 or RFC 9112; the detail names the rule.',
    'Mend the upstream.',
  ),
  UPSTREAM_CLOSED: upstream(
    502,
    'idempotent',
    'The upstream closed the connection',
    'The connection ended before the response was complete.',
    'Look into the log of the upstream: it often crashed or was restarted.',
  ),
  UPSTREAM_BODY_TOO_LARGE: upstream(
    502,
    'never',
    "The upstream's body is too large to gather",
    'A plugin reads the response body and it is longer than `limits.body_bytes`.',
    'Raise the limit, or let the plugin use transformBody.',
  ),
  // Plugins at run time.
  HOOK_THREW: plugin(
    503,
    'A plugin failed',
    'A hook threw or rejected; the log has the stack, mapped to the source.',
    'Mend the plugin. `on_failure` says what happens to its exchanges meanwhile.',
  ),
  HOOK_TIMEOUT: plugin(
    503,
    'A plugin took too long',
    'A hook did not settle within the `timeout_ms` of its instance.',
    'Make the hook faster or raise `timeout_ms`.',
  ),
  HOOK_RETURN_INVALID: plugin(
    503,
    'A plugin broke the contract',
    'handle returned something other than true or false, false without a status, or true after send().',
    'Return true to go on; set a status (or use send, json, redirect) and return false to answer.',
  ),
  BODY_UNREADABLE: plugin(
    503,
    'A body cannot be read',
    'It cannot be decoded, or is not the JSON that the plugin asked for.',
    'Catch the error in the plugin and answer 400 or 415.',
  ),
  CONTEXT_REVOKED: plugin(
    0,
    'A context was used after its end',
    'The hook timed out or onFinish has run; the exchange is over for this plugin.',
    'Copy what you need while the hook runs.',
  ),
  PERMISSION_DENIED: plugin(
    0,
    'A plugin asked for what it was not granted',
    'plugin.json does not list the permission.',
    'Add it to `permissions` in plugin.json if the plugin may have it.',
  ),
  // Config files and plugin folders.
  CONFIG_NOT_FOUND: config(
    'The config file cannot be read',
    'It does not exist or may not be read.',
    'Check the path; `cardea --to URL` needs no file.',
  ),
  CONFIG_SYNTAX: config(
    'The config file is not valid YAML or JSON',
    'The parser stopped at the line and column shown.',
    'Mend the syntax there.',
  ),
  CONFIG_INVALID: config(
    'A config value is not allowed',
    'The key is unknown, the value has the wrong form, or two values contradict each other.',
    'The error names key, value, what was expected and the nearest valid key.',
  ),
  CONFIG_VARIABLE_MISSING: config(
    'A variable has no value',
    'The config says ${NAME} or ${file:PATH}, and there is no such variable or file, nor a default.',
    'Set it, or write ${NAME:-default}.',
  ),
  PLUGIN_MANIFEST_INVALID: config(
    'plugin.json is not valid',
    'A field is missing, unknown, or has the wrong form.',
    'The error names the field, the value and what was expected.',
  ),
  PLUGIN_ENTRY_MISSING: config(
    'A plugin has no entry file',
    'The folder holds none of plugin.ts, plugin.js and plugin.mjs.',
    'Add one; `cardea plugin new NAME` writes a working folder.',
  ),
  PLUGIN_DUPLICATE: config(
    'Two plugins have one name',
    'Two folders name the same plugin, or one has the name of a built-in.',
    'Rename one of them.',
  ),
  PLUGIN_NOT_FOUND: config(
    'A route names a plugin that is not there',
    'No enabled plugin folder has that name.',
    'Check the name, add the folder, or remove the reference.',
  ),
  PLUGIN_BUILD_FAILED: config(
    'A plugin does not compile',
    'esbuild reports the error with file, line and code frame.',
    'Mend it there.',
  ),
  PLUGIN_CONFIG_INVALID: config(
    "A plugin's config is not allowed",
    'It does not match the config_schema of the plugin.',
    'The error names the layer the value came from, key, value and what was expected.',
  ),
  PLUGIN_EXPORT_MISSING: config(
    'A plugin lacks its entry point',
    'The entry file does not export the function that `entry_point` names.',
    'Export it, or correct `entry_point`.',
  ),
  PLUGIN_START_FAILED: config(
    'A plugin does not start',
    'PluginMain, validateConfig or healthCheck threw, rejected, or took too long, or returned no middleware.',
    'The log has the stack, mapped to the source.',
  ),
  PLUGIN_ISOLATION_UNAVAILABLE: config(
    'A plugin asks for an isolation that this version does not have',
    'plugin.json or the config says `isolation: isolate` or `process`; running it less isolated would be unsafe.',
    'Set `isolation: none` if you trust the plugin, or leave it out.',
  ),
  // Processes.
  LISTEN_FAILED: gateway(
    0,
    'never',
    'A listener cannot be opened',
    'The address is in use, or may not be used by this user.',
    'Choose another port, or stop what uses it.',
  ),
  WORKER_START_FAILED: gateway(
    0,
    'never',
    'A worker did not start',
    'It did not report ready in time, or died while starting.',
    'The log has the cause.',
  ),
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERRORS

export interface ErrorContext {
  readonly cause?: unknown
  /** The plugin instance whose fault it is. */
  readonly plugin?: string
}

/** An error of ours: stable code, whose fault it is, and whether a retry can help. */
export class GatewayError extends Error {
  readonly code: ErrorCode
  readonly plugin: string | null

  constructor(code: ErrorCode, detail?: string, context: ErrorContext = {}) {
    super(detail ?? ERRORS[code].title, context.cause === undefined ? undefined : { cause: context.cause })
    this.name = 'GatewayError'
    this.code = code
    this.plugin = context.plugin ?? null
  }

  get source(): ErrorSource {
    return ERRORS[this.code].source
  }

  get retry(): Retry {
    return ERRORS[this.code].retry
  }

  /** The status that a client gets for it; 0 where no exchange is involved. */
  get status(): number {
    return ERRORS[this.code].status
  }
}

/** The sentence of whatever was thrown; plugins throw strings and undefined too. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message
  return typeof thrown === 'string' ? thrown : `a thrown ${thrown === null ? 'null' : typeof thrown}`
}
