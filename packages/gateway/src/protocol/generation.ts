/**
 * A generation as it travels from the supervisor to the workers: plain data, ready to be used, nothing left to look
 * up. Durations are milliseconds, sizes bytes, names camelCase; the config files' own form stays in `config/`.
 */

export type Category = 'observe' | 'security' | 'traffic' | 'transform' | 'cache' | 'custom'

/** The order of the chain: what comes first here runs first. */
export const CATEGORIES: readonly Category[] = [
  'observe',
  'security',
  'traffic',
  'transform',
  'cache',
  'custom',
]

export type OnFailure =
  | { readonly kind: 'closed' }
  | { readonly kind: 'open' }
  | {
      readonly kind: 'fallback'
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
      readonly body: string
    }

export interface GenerationPlan {
  readonly number: number
  readonly settings: GatewaySettings
  readonly upstreams: readonly UpstreamPlan[]
  readonly routes: readonly RoutePlan[]
  readonly instances: readonly InstancePlan[]
  readonly bundles: readonly BundlePlan[]
}

/** One plugin version's compiled code. */
export interface BundlePlan {
  /** SHA-256 of the bundle text, hex. */
  readonly codeHash: string
  /** CommonJS text; `@cardea/sdk` and Node's own modules are external. */
  readonly code: string
  /** Source map (JSON text) from `code` to the plugin's files. */
  readonly sourceMap: string
  /** Absolute path of the entry file, for stack traces. */
  readonly entryFile: string
}

/** A plugin with one effective config. Routes refer to it by `id`. */
export interface InstancePlan {
  /** Unique in the plan; equal plans of one instance on several routes share one id. */
  readonly id: number
  /** The instance's name: the plugin's, or the key under `plugins:`. */
  readonly name: string
  readonly plugin: string
  readonly version: string
  readonly codeHash: string
  /** The exported function, from `entry_point`. */
  readonly entryPoint: string
  readonly config: Readonly<Record<string, unknown>>
  readonly category: Category
  readonly priority: number
  readonly permissions: readonly string[]
  /** One hook call, waiting for the client's bytes not counted. */
  readonly timeoutMs: number
  readonly onFailure: OnFailure
  /**
   * What is carried from generation to generation: instances with equal keys are the same one. SHA-256 (hex) over name,
   * code hash, entry point, effective config, permissions, incarnation and the keys of its dependencies; not over what
   * only says how it is called (priority, timeout, failure policy).
   */
  readonly key: string
  /** Ids of the instances it may `host.use`; they stand before it in the plan, and stop after it. */
  readonly dependencies: readonly number[]
  /** Counts up when somebody wants the instance made anew although nothing of it changed: `reload`, a breaker. */
  readonly incarnation: number
  /** It blocked an event loop, or harmed a worker in another way (`HARMS`): no hook of it is called, its failure policy decides at once. */
  readonly quarantined: boolean
}

export interface RoutePlan {
  readonly name: string
  /** Lower case; `*.example.com` matches one or more labels. Empty: every host. */
  readonly hosts: readonly string[]
  /** Exact, `/prefix/*`, or with `:param` segments. Never empty; `/*` is every path. */
  readonly paths: readonly string[]
  /** Empty: every method. */
  readonly methods: readonly string[]
  /** Field name (lower case) to the exact value, or null for "is there". */
  readonly headers: Readonly<Record<string, string | null>>
  readonly action: RouteAction
  /** Removes this prefix from the path before the upstream sees it; '' for none. */
  readonly stripPrefix: string
  /** Replaces the path: literal text in which `:name` and `*` stand for what the route matched; '' for none. */
  readonly rewrite: string
  /** Which of the otherwise refused path parts this route lets through. */
  readonly allowInPath: readonly PathOddity[]
  /** Content limit for this route's requests. */
  readonly requestBodyBytesMax: number
  /** Ids of the instances, in chain order. */
  readonly chain: readonly number[]
}

export type PathOddity = 'encoded_slash' | 'encoded_backslash' | 'encoded_null' | 'empty_segment'

export type RouteAction =
  | { readonly kind: 'upstream'; readonly upstream: string; readonly host: HostPolicy }
  | {
      readonly kind: 'respond'
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
      readonly body: string
    }
  /** `location` is a literal in which `:name` and `*` stand for what the route matched. */
  | { readonly kind: 'redirect'; readonly status: number; readonly location: string }

/** The Host field that the upstream gets. */
export type HostPolicy =
  | { readonly kind: 'preserve' }
  | { readonly kind: 'target' }
  | { readonly kind: 'literal'; readonly value: string }

export interface UpstreamPlan {
  readonly name: string
  readonly targets: readonly TargetPlan[]
  /** Per target and worker. */
  readonly connectionsMax: number
  /** Idle connections kept per target and worker. */
  readonly idleConnectionsMax: number
  /** Requests that may wait for a connection, per target and worker. */
  readonly queueMax: number
  readonly queueTimeoutMs: number
  /** Tries of one request, the first one included. */
  readonly triesMax: number
  /** From the start of the first try on: no other starts later. */
  readonly triesTimeoutMs: number
  readonly connectTimeoutMs: number
  /** From the request's last byte to the response head. 0: none. */
  readonly responseTimeoutMs: number
  /** Between two reads of a response body. 0: none. */
  readonly idleTimeoutMs: number
  /** How long an idle connection is kept. */
  readonly keepAliveMs: number
  readonly dnsRefreshMs: number
  /** Passive ejection: this many failures in a row take a target out for `ejectMs`. 0: never. */
  readonly ejectAfterFailures: number
  readonly ejectMs: number
  readonly tls: UpstreamTlsPlan
}

export interface TargetPlan {
  /** As configured, normalised: `http://127.0.0.1:3000`. */
  readonly url: string
  readonly scheme: 'http' | 'https'
  readonly hostname: string
  readonly port: number
}

export interface UpstreamTlsPlan {
  /** SNI and the name that the certificate must carry; '' for the target's own hostname. */
  readonly serverName: string
  /** PEM text of the trusted CAs; '' for Node's own list. */
  readonly ca: string
  /** False only by an explicit `verify: false`. */
  readonly verify: boolean
}

export interface GatewaySettings {
  readonly listeners: readonly ListenerPlan[]
  readonly workers: number
  /** CIDR blocks whose X-Forwarded-* and Forwarded fields are believed. */
  readonly trustedProxies: readonly string[]
  /** The pseudonym in Via (RFC 9110, 7.6.3). */
  readonly viaName: string
  readonly halfClose: 'abort' | 'serve'
  readonly limits: Limits
  readonly timeouts: Timeouts
  readonly log: {
    readonly level: LogLevel
    readonly format: 'json' | 'pretty' | 'auto'
    /**
     * Of the lines of plugins. Only for `cardea dev`, which shows itself what control events tell: that is not logged too,
     * and `level` is for the rest.
     */
    readonly pluginLevel?: LogLevel
  }
  /** Answers carry the generation in X-Cardea-Generation. */
  readonly debug: boolean
  readonly changes: ChangeSettings
  readonly faults: FaultSettings
  /** What several nodes share; absent: nothing. */
  readonly state?: StateSettings
}

export interface StateSettings {
  /** URL of a Redis. A secret: it may hold a password. */
  readonly redis: string
  readonly onLoss: 'local' | 'allow' | 'refuse'
}

/** How generations follow one another. */
export interface ChangeSettings {
  /** Generations that may be alive at once in a worker; past it a change waits. */
  readonly generationsLiveMax: number
  /** After its successor came, a generation's streams are cut after this time. 0: never. */
  readonly streamDeadlineMs: number
  /** Stored versions of one plugin, those in use not counted. */
  readonly pluginVersionsMax: number
  /** Stored generations that can be rolled back to. */
  readonly generationsMax: number
}

/** When an instance's faults have consequences. */
export interface FaultSettings {
  /** A hook that keeps the event loop longer than this is ended and its plugin quarantined. 0: never. */
  readonly stallMs: number
  /** The breaker opens at this share of faulty calls … */
  readonly breakerRatio: number
  /** … of at least so many calls within `breakerWindowMs`. */
  readonly breakerCallsMin: number
  readonly breakerWindowMs: number
  /** From open to half-open; doubles while probes fail, up to 60 s. */
  readonly breakerOpenMs: number
  /** A new version whose breaker opens within this time is taken back. 0: never. */
  readonly probationMs: number
  /** Security plugins are taken back too. */
  readonly probationSecurity: boolean
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'

export interface ListenerPlan {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}

/** Every bound on what a peer may make us hold. Defaults and reasons are in config/limits.ts. */
export interface Limits {
  readonly headBytesMax: number
  readonly requestLineBytesMax: number
  readonly headerCountMax: number
  readonly bodyBytesMax: number
  readonly requestBodyBytesMax: number
  readonly trailerBytesMax: number
  readonly chunkExtensionBytesMax: number
  readonly connectionsMax: number
  readonly pendingRequestsMax: number
  readonly pipelinedBytesMax: number
  readonly relayBufferBytes: number
  readonly lingerBytesMax: number
  readonly requestsPerConnectionMax: number
}

export interface Timeouts {
  /** From the first byte of a request to the end of its head. */
  readonly headMs: number
  /** Between two reads of a request body. */
  readonly bodyMs: number
  /** A keep-alive connection without a request. */
  readonly idleMs: number
  /** A client that takes no bytes of the response. */
  readonly sendMs: number
  /** A tunnel (Upgrade) without a byte in either direction. */
  readonly tunnelIdleMs: number
  readonly lingerMs: number
  /** From SIGTERM to the end. */
  readonly drainMs: number
  /** Bytes per second below which, after `headMs`, a request body ends with 408. 0: no minimum. */
  readonly minimumRateBytesPerSecond: number
}
