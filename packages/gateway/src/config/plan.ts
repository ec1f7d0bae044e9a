import { availableParallelism } from 'node:os'
import { basename } from 'node:path'
import type {
  GatewaySettings,
  HostPolicy,
  Limits,
  RouteAction,
  TargetPlan,
  Timeouts,
  UpstreamPlan,
} from '../protocol/generation.ts'
import { toOnFailure } from './failure.ts'
import { describePointer, joinPointer } from './pointer.ts'
import type { CardeaFile } from './schema.ts'
import type { PluginEntry } from './schema-plugin.ts'
import { parseTarget } from './target.ts'
import type { LoadedConfig, PluginOverride, PluginOverrides, RouteDraft, SettingsPlan } from './types.ts'
import { parseDuration, parseSize } from './units.ts'

/** Turns a loaded config, file form, into the parts of a generation that need no plugin. */

type RouteFile = CardeaFile['routes'][number]
type UpstreamFile = CardeaFile['upstreams'][string]

const WORKERS_MAX = 64

/** Throws only when the config did not come from the loader: that is our mistake. */
export function planSettings(config: LoadedConfig): SettingsPlan {
  const { value } = config
  return {
    settings: toSettings(config),
    upstreams: Object.entries(value.upstreams).map(([name, upstream]) => toUpstream(name, upstream)),
    routes: value.routes.map((route, index) => toRoute(route, index, config)),
    globalPlugins: toOverrides(value.plugins, '/plugins', config),
  }
}

function toSettings(config: LoadedConfig): GatewaySettings {
  const { value } = config
  return {
    listeners: value.listen.map(({ host, port }) => ({ host, port })),
    workers: value.workers === 'auto' ? Math.min(WORKERS_MAX, availableParallelism()) : value.workers,
    trustedProxies: value.trusted_proxies,
    viaName: value.via,
    halfClose: value.half_close,
    limits: toLimits(value.limits),
    timeouts: toTimeouts(value.timeouts),
    log: toLog(config),
    debug: value.debug,
    changes: {
      generationsLiveMax: value.changes.generations_live_max,
      streamDeadlineMs: milliseconds(value.changes.stream_deadline),
      pluginVersionsMax: value.changes.plugin_versions_max,
      generationsMax: value.changes.generations_max,
    },
    faults: {
      stallMs: milliseconds(value.faults.stall),
      breakerRatio: value.faults.breaker_ratio,
      breakerCallsMin: value.faults.breaker_calls_min,
      breakerWindowMs: milliseconds(value.faults.breaker_window),
      breakerOpenMs: milliseconds(value.faults.breaker_open),
      probationMs: milliseconds(value.faults.probation),
      probationSecurity: value.faults.probation_security,
    },
    ...(value.state === undefined
      ? {}
      : { state: { redis: value.state.redis, onLoss: value.state.on_loss } }),
  }
}

/** Who watches wants to read plugins' lines and warnings; what else the gateway does is shown as it happens. */
function toLog({ value, isWatched = false }: LoadedConfig): GatewaySettings['log'] {
  const { level, format } = value.log
  if (!isWatched) return { level, format }
  const isLoud = level === 'trace' || level === 'debug' || level === 'info'
  return {
    level: isLoud ? 'warn' : level,
    format: format === 'auto' ? 'pretty' : format,
    pluginLevel: level,
  }
}

function toLimits(limits: CardeaFile['limits']): Limits {
  const headBytesMax = bytes(limits.head_bytes)
  return {
    headBytesMax,
    // A request line is part of its head.
    requestLineBytesMax: Math.min(headBytesMax, bytes(limits.request_line_bytes)),
    headerCountMax: limits.header_count,
    bodyBytesMax: bytes(limits.body_bytes),
    requestBodyBytesMax: bytes(limits.request_body_bytes),
    trailerBytesMax: bytes(limits.trailer_bytes),
    chunkExtensionBytesMax: bytes(limits.chunk_extension_bytes),
    connectionsMax: limits.connections,
    pendingRequestsMax: limits.pending_requests,
    pipelinedBytesMax: bytes(limits.pipelined_bytes),
    relayBufferBytes: bytes(limits.relay_buffer_bytes),
    lingerBytesMax: bytes(limits.linger_bytes),
    requestsPerConnectionMax: limits.requests_per_connection,
  }
}

function toTimeouts(timeouts: CardeaFile['timeouts']): Timeouts {
  return {
    headMs: milliseconds(timeouts.head),
    bodyMs: milliseconds(timeouts.body),
    idleMs: milliseconds(timeouts.idle),
    sendMs: milliseconds(timeouts.send),
    tunnelIdleMs: milliseconds(timeouts.tunnel_idle),
    lingerMs: milliseconds(timeouts.linger),
    drainMs: milliseconds(timeouts.drain),
    minimumRateBytesPerSecond: bytes(timeouts.minimum_rate),
  }
}

function toUpstream(name: string, upstream: UpstreamFile): UpstreamPlan {
  return {
    name,
    targets: upstream.targets.map(toTarget),
    connectionsMax: upstream.connections_max,
    idleConnectionsMax: Math.min(upstream.connections_max, upstream.idle_connections_max),
    queueMax: upstream.queue.max,
    queueTimeoutMs: milliseconds(upstream.queue.timeout),
    triesMax: upstream.tries.max,
    triesTimeoutMs: milliseconds(upstream.tries.timeout),
    connectTimeoutMs: milliseconds(upstream.timeouts.connect),
    responseTimeoutMs: milliseconds(upstream.timeouts.response),
    idleTimeoutMs: milliseconds(upstream.timeouts.idle),
    keepAliveMs: milliseconds(upstream.keep_alive),
    dnsRefreshMs: milliseconds(upstream.dns_refresh),
    ejectAfterFailures: upstream.eject.after,
    ejectMs: milliseconds(upstream.eject.for),
    tls: {
      serverName: upstream.tls?.server_name ?? '',
      ca: upstream.tls?.ca ?? '',
      verify: upstream.tls?.verify ?? true,
    },
  }
}

function toTarget(text: string): TargetPlan {
  const result = parseTarget(text)
  if (!result.ok) throw new Error(`Cannot plan a target that the loader let through: ${result.reason}`)
  return result.target
}

function toRoute(route: RouteFile, index: number, config: LoadedConfig): RouteDraft {
  const pointer = `/routes/${index}`
  const hosts = route.hosts ?? (route.host === undefined ? [] : [route.host])
  return {
    name: route.name,
    hosts: hosts.map((host) => host.toLowerCase()),
    paths: route.paths ?? [route.path ?? '/*'],
    methods: route.methods,
    headers: Object.fromEntries(
      Object.entries(route.headers).map(([name, value]) => [
        name.toLowerCase(),
        value === true ? null : value,
      ]),
    ),
    action: toAction(route),
    stripPrefix: route.strip_prefix,
    rewrite: route.rewrite,
    allowInPath: route.allow_in_path,
    requestBodyBytesMax: bytes(route.request_body_bytes ?? config.value.limits.request_body_bytes),
    plugins: toOverrides(route.plugins, `${pointer}/plugins`, config),
    position: config.source.locate(pointer),
  }
}

function toAction(route: RouteFile): RouteAction {
  if (route.respond !== undefined) return { kind: 'respond', ...route.respond }
  if (route.redirect !== undefined) {
    return { kind: 'redirect', status: route.redirect.status, location: route.redirect.to }
  }
  if (route.upstream === undefined) throw new Error(`Cannot plan route ${route.name}: it has no action`)
  return { kind: 'upstream', upstream: route.upstream, host: toHostPolicy(route.upstream_host) }
}

function toHostPolicy(host: RouteFile['upstream_host']): HostPolicy {
  return typeof host === 'string' ? { kind: host } : { kind: 'literal', value: host.literal }
}

function toOverrides(
  entries: Readonly<Record<string, PluginEntry>>,
  pointer: string,
  config: LoadedConfig,
): PluginOverrides {
  return new Map(
    Object.entries(entries).map(([name, entry]) => [
      name,
      toOverride(name, entry, joinPointer(pointer, name), config),
    ]),
  )
}

function toOverride(name: string, entry: PluginEntry, pointer: string, config: LoadedConfig): PluginOverride {
  const key = describePointer(pointer)
  const { source: map } = config
  const base = { name, map, pointer, key, position: map.locateKey(pointer) }
  if (entry === false) return { kind: 'off', ...base }
  const source = `${basename(map.file)}: ${key}.config`
  return {
    kind: 'settings',
    ...base,
    plugin: entry.plugin,
    enabled: entry.enabled,
    priority: entry.priority,
    timeoutMs: entry.timeout_ms,
    onFailure: entry.on_failure === undefined ? undefined : toOnFailure(entry.on_failure),
    isolation: entry.isolation,
    config:
      entry.config === undefined
        ? undefined
        : { source, value: entry.config, map, pointer: `${pointer}/config` },
  }
}

function milliseconds(text: string | 0): number {
  return inUnit(text, parseDuration)
}

function bytes(text: string | 0): number {
  return inUnit(text, parseSize)
}

function inUnit(text: string | 0, parse: (text: string) => number | null): number {
  const value = text === 0 ? 0 : parse(text)
  if (value === null) throw new Error('Cannot plan a duration or size that the loader let through')
  return value
}
