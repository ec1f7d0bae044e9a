import type { ChangeSettings, FaultSettings, Limits, Timeouts } from '../protocol/generation.ts'

/** Every limit with its default, its unit, and what it protects. The config schema takes its defaults from here. */

const KIB = 1024
const MIB = 1024 * KIB

export const LIMIT_DEFAULTS = {
  /** A request or response head. Protects memory against endless heads; nginx allows 32 KiB, Node 16 KiB. → 431 */
  headBytesMax: 32 * KIB,
  /** Method, target and version. RFC 9112, 3 asks for at least 8,000. → 414 */
  requestLineBytesMax: 8 * KIB,
  /** Field lines of one head. Protects the linear scans over a head's fields. → 431 */
  headerCountMax: 100,
  /** What `bytes()`, `text()` and `json()` gather for a plugin. Protects memory. → 413 (request), 502 (response) */
  bodyBytesMax: 10 * MIB,
  /** Content of one request, relayed or gathered. 0: no limit. → 413 */
  requestBodyBytesMax: 0,
  /** Trailer section of a chunked body. → 431 (request), 502 (response) */
  trailerBytesMax: 8 * KIB,
  /** Chunk extensions of one body, all together. Protects CPU: they carry nothing we use. → 400 */
  chunkExtensionBytesMax: 16 * KIB,
  /** Client connections of one worker. The newest is answered 503 and closed. */
  connectionsMax: 20_000,
  /** Requests of one worker that have no response head yet. → 503 */
  pendingRequestsMax: 10_000,
  /** Held of what a client sends before its turn: pipelined requests, content that nobody takes yet. Then it is not read. */
  pipelinedBytesMax: 64 * KIB,
  /** What may wait in one direction of a relay before the other side is paused. */
  relayBufferBytes: 256 * KIB,
  /** What is still read, and thrown away, after an early answer, so that the client sees it instead of a reset. */
  lingerBytesMax: 1 * MIB,
  /** Then the connection is closed after its answer; evens out load between workers. 0: no limit. */
  requestsPerConnectionMax: 0,
} as const satisfies Limits

/** The most that `limits.header_count` can be set to. A parser keeps 16 bytes for each from the start. */
export const HEADER_COUNT_CEILING = 10_000

/**
 * Interim (1xx) responses to one request. Early Hints come once or twice, 102 every 20 seconds at most (RFC 2518, 10.1);
 * without a bound an upstream that sends nothing else fills the memory behind a client that does not read. → 502
 */
export const INTERIM_RESPONSES_MAX = 100

/**
 * Options of a Connection field: each names a field that ends here, and is looked for among all fields and trailers. Some
 * thousands in one head cost 40 ms of CPU. → 400 (request), 502 (response)
 */
export const CONNECTION_OPTIONS_MAX = 50

export const TIMEOUT_DEFAULTS = {
  /** Slow-head attacks (Slowloris). → 408 */
  headMs: 15_000,
  /** Slow-body attacks. → 408 */
  bodyMs: 30_000,
  idleMs: 75_000,
  sendMs: 60_000,
  tunnelIdleMs: 3_600_000,
  /** As `lingerBytesMax`, in time. */
  lingerMs: 2_000,
  drainMs: 30_000,
  minimumRateBytesPerSecond: 0,
} as const satisfies Timeouts

export const UPSTREAM_DEFAULTS = {
  connectionsMax: 512,
  idleConnectionsMax: 128,
  queueMax: 1_024,
  queueTimeoutMs: 5_000,
  /** A request does not go round all of many targets that are down, nor for longer than its client may wait. */
  triesMax: 3,
  triesTimeoutMs: 10_000,
  connectTimeoutMs: 5_000,
  responseTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  /** Node servers close idle connections after 5 s; we must let go first. */
  keepAliveMs: 4_000,
  dnsRefreshMs: 30_000,
  ejectAfterFailures: 5,
  ejectMs: 10_000,
} as const

/** One hook call. */
export const HOOK_TIMEOUT_DEFAULT_MS = 1_000

/** Plugin folders and what is made of them. None of it is on a request's way. */
export const PLUGIN_LIMITS = {
  /** Folders looked into below one plugins directory. Protects against pointing at the wrong directory. */
  foldersMax: 1_000,
  /** Compiled text of one plugin, npm dependencies included. Every worker holds it. */
  bundleBytesMax: 16 * MIB,
  /** One file's text that is kept beside the bundle, for code frames: more than a person writes. Every worker holds it. */
  sourceBytesMax: 256 * KIB,
  /** Plugins that esbuild works on at one time. */
  buildsAtOnceMax: 4,
  /** One plugin's build. esbuild takes milliseconds; what does not answer for so long hangs, and so would the change. */
  buildTimeoutMs: 60_000,
  /** One step of starting an instance: PluginMain, validateConfig or healthCheck. */
  startTimeoutMs: 10_000,
  /** The `stop` of a middleware. */
  stopTimeoutMs: 5_000,
  /** Hops of one `host.fetch`; the Fetch standard says 20. */
  fetchRedirectsMax: 20,
  /** States of one instance. Past it their names are made up per request, and never let go. */
  statesMax: 1_000,
  /** Listeners of one instance. Past it they are added per request, and never let go. */
  listenersMax: 1_000,
  /** A copy of one state for the dry run of its migration. */
  stateCopyBytesMax: MIB,
  /** All such copies that a worker sends at a time. */
  stateCopiesBytesMax: 16 * MIB,
  /** Events of one worker that wait for the turn to end. */
  eventsPendingMax: 10_000,
  /** Events of one instance that wait for it to go live. */
  eventsHeldMax: 100,
  /** Calls of one provider's service that have no answer yet. Protects memory from a function that never settles. */
  serviceCallsPendingMax: 10_000,
} as const

/** What is read of one plugin folder to tell whether anything in it changed. Protects against data kept beside code. */
export const FINGERPRINT_LIMITS = {
  /** Past it, size and time stand for a file's content. */
  bytesMax: 64 * MIB,
  /** Past it, nothing is looked at: a change in what comes later, by name, goes unnoticed. */
  filesMax: 5_000,
} as const

/** The log of changes, faults and decisions in .cardea/, from which `cardea status` and `cardea history` tell. */
export const EVENT_LOG_LIMITS = {
  /** Then it becomes the old one, whose predecessor goes: there are twice as many bytes at most. */
  fileBytesMax: 4 * MIB,
  /** A longer event loses its details. */
  eventBytesMax: 64 * KIB,
  /** What may wait to be written while the disk hangs; what comes then is not kept. */
  waitingBytesMax: 1 * MIB,
  /** Events kept in memory, and read back at the start. */
  recentMax: 500,
  /** What is read of the end of each file at the start: older events stay there. */
  tailBytesMax: 1 * MIB,
} as const

/** How generations follow one another, and what is kept of them. */
export const CHANGE_DEFAULTS = {
  /** Protects memory against streams that never end while changes go on: each holds its generation. */
  generationsLiveMax: 16,
  streamDeadlineMs: 0,
  pluginVersionsMax: 20,
  generationsMax: 1_000,
} as const satisfies ChangeSettings

/** When an instance's faults have consequences. */
export const FAULT_DEFAULTS = {
  /** A hook that takes this long is not slow but stuck: everyone else's requests wait for it. */
  stallMs: 1_000,
  breakerRatio: 0.5,
  breakerCallsMin: 100,
  breakerWindowMs: 10_000,
  breakerOpenMs: 1_000,
  probationMs: 60_000,
  probationSecurity: false,
} as const satisfies FaultSettings

/** The compiler's process is ended after this time without work: 10 MB that the next change gets back in 36 ms. */
export const BUILD_IDLE_MS = 300_000

/** What a change waits for. */
export const CHANGE_LIMITS = {
  /** From one look at what need not be kept any more to the next; commits in between share it. */
  pruneRestMs: 1_000,
  /** How often room for a further generation is looked for, should no worker say so. */
  roomPollMs: 1_000,
  /** A change that failed because a process died, which it had nothing to do with, is tried again so often. */
  repeatsMax: 2,
  /** A change of files that has been made for so long gives way to what was asked for since, or saved. */
  supersedeAfterMs: 1_000,
  /** After its own first save a change of files gives way for no longer than this: one of them has to get through. */
  supersedeWithinMs: 10_000,
  /** Routes that each take requests from each are more losses of security plugins than anybody reads: the rest is counted. */
  lossesShownMax: 50,
  /** At a start: a trial that has gone on for so long is not waited for, if what served last can stand in. */
  standInAfterMs: 3_000,
  /** No generation can be served: how long until the next try; doubles each time, up to `startRetryMsMax`. */
  startRetryMs: 1_000,
  /** The longest time between two tries to serve a generation. */
  startRetryMsMax: 30_000,
  /** A change was good, and could not be kept on disk: how long until the next try; doubles up to `decideRetryMsMax`. */
  decideRetryMs: 1_000,
  /** The longest time between two tries to keep a change. */
  decideRetryMsMax: 300_000,
} as const

/** What follows when the breaker of an instance opens and opens again. */
export const FAULT_LIMITS = {
  /** So often in a row before the instance is made anew. */
  opensBeforeRestart: 2,
  /** Until an instance is made anew; doubles each time, up to `restartDelayMsMax`. */
  restartDelayMs: 1_000,
  /** The longest time until an instance is made anew. */
  restartDelayMsMax: 60_000,
  /** Quarantines of what does not run just now, and may come back. */
  quarantinesKeptMax: 100,
} as const

/** The control socket. Only its owner reaches it, but a script of theirs may go wrong too. */
export const CONTROL_LIMITS = {
  /** Past it a new connection is told so and closed. */
  connectionsMax: 64,
  /** One request. */
  requestBytesMax: 64 * KIB,
  /** Requests of one connection that are worked on at once; what follows them is not read meanwhile. */
  requestsAtOnceMax: 16,
  /** How often a client that waits for an answer is told so, which also shows whether it is still there. */
  pendingMs: 1_000,
  /** A connection that neither watches nor waits for an answer. */
  idleMs: 30_000,
  /** How often it is looked whether the socket is still there: whoever empties the folder (`git clean`) takes it along. */
  presenceMs: 5_000,
  /** How long the rest of a request that is too long is read, and thrown away. */
  lingerMs: 1_000,
  /** What may wait for a watcher that does not read before traces are left out. */
  traceBacklogBytesMax: 256 * KIB,
  /** What may wait for a watcher that does not read before it is dropped. */
  backlogBytesMax: 4 * MIB,
  /** One answer or event, as the command line reads it: a thousand generations with all that changed fit. */
  responseBytesMax: 64 * MIB,
  /** An answer that needs no change. */
  answerTimeoutMs: 10_000,
  /** One that a change comes before: other changes, a trial, and a stage that takes all its time. */
  changeTimeoutMs: 180_000,
  /** How long the command line waits for the supervisor of a gateway that lives: it may be starting anew. */
  restartWaitMs: 20_000,
  /** Between two tries to connect. */
  retryDelayMs: 50,
} as const

/** The trial process, in which a plugin's code runs first. */
export const TRIAL_LIMITS = {
  /** An event loop that stands still this long is stuck; the same measure as for a hook (`FAULT_DEFAULTS.stallMs`). */
  stallMs: 1_000,
  /** Share of `stallMs` after which the process tells where its loop stands, which takes it some 50 ms. */
  stallTellShare: 0.6,
  /** Times `stallMs`: how long a silent process may wait that hardly computes: for a core, for a disk. */
  waitingFactor: 3,
  /** From one sign of life to the next. */
  beatMs: 100,
  /** How often memory and silence are looked at. A loop that allocates gains some 50 MB in this time. */
  pollMs: 50,
  /** Resident memory above what the process had at its start. Protects the machine's other processes. */
  memoryBytesMax: 512 * MIB,
  /** V8's own limit, which ends the process from inside; the only one on systems without /proc. */
  heapBytesMax: 512 * MIB,
  /** A step's own deadline (`PLUGIN_LIMITS`) is kept inside; past this much more the process is taken for broken. */
  stepMarginMs: 2_000,
  /** Trials of one process. Bounds what plugin code can leave behind unseen; a new one takes 0.15 s of a core. */
  trialsMax: 200,
  /** A process whose resident memory grew by more is replaced. Waiting for V8 to collect it grows by up to 100 MB. */
  growthBytesMax: 128 * MIB,
  /** A trial process without work is ended after this time: 60 MB that the next change gets back in 0.2 s. */
  idleMs: 300_000,
  /** How soon a trial process whose event loop is blocked notices that the supervisor is gone. */
  parentPollMs: 250,
  /** The same between trials, when only what a trial left behind could block it. */
  idleParentPollMs: 5_000,
  /** From a kill to the end of the process; only the kernel can take longer. */
  killTimeoutMs: 5_000,
} as const

/** `host.kv`: small data that the workers of a node share, on disk. */
export const KV_LIMITS = {
  /** A key in UTF-8. */
  keyBytesMax: 512,
  /** A value as `v8.serialize` writes it. It passes three processes and is read in one piece. */
  valueBytesMax: 64 * KIB,
  /** Keys of one plugin. Protects the disk against one key for every visitor, for ever. */
  keysMax: 100_000,
  /** Keys and values of one plugin together. */
  bytesMax: 256 * MIB,
  /** Keys of one answer to `list`. */
  listKeysMax: 10_000,
  /** Keys of one answer to `list` unless the plugin says how many. */
  listKeysDefault: 1_000,
  /** Requests of one worker that wait for an answer. Protects its memory while there is no supervisor. */
  pendingMax: 10_000,
  /** The bytes of those requests, for the same reason. */
  pendingBytesMax: 16 * MIB,
  /** One request, a supervisor's restart included. */
  timeoutMs: 5_000,
  /** What has expired is not given out any more; it leaves the disk by this sweep. */
  sweepPeriodMs: 60_000,
  /** A plugin at its bound gets room from what has expired of its own no sooner than this after the last time. */
  expirePeriodMs: 1_000,
  /** Rows that one sweep may delete before others get their turn. */
  sweepRowsMax: 1_000,
} as const

/** `host.sink`: files that the workers of a node append lines to. */
export const SINK_LIMITS = {
  /** Files of one worker: each is an open descriptor. */
  filesMax: 64,
  /** A name with its folders. */
  nameUnitsMax: 128,
  rotateBytesDefault: 100 * MIB,
  keepDefault: 5,
  keepMax: 1_000,
  /** A shorter period would make files faster than anyone looks. */
  rotatePeriodMsMin: 1_000,
  /** Lines are written when there are so many bytes of them. */
  flushBytes: 64 * KIB,
  /** Fewer lines are written after this time. */
  flushPeriodMs: 100,
  /** What may wait for the disk, per file and worker. What comes beyond it is dropped and counted. */
  pendingBytesMax: 4 * MIB,
  /**
   * What is left has this long when a worker ends, less when the gateway has to end sooner (main/drain-shares.ts): a pipe
   * that nobody reads must not keep it. With twice `PROCESS_LIMITS.drainClosingMs` no more than `drainReserveMs`, since the
   * worker is killed after that.
   */
  endFlushMs: 500,
  /** Between two looks at the files' sizes. */
  rotationPeriodMs: 1_000,
  /** Between two lines of the log about what one sink dropped. */
  complaintPeriodMs: 10_000,
} as const

/** The log of each process, on stderr. */
export const LOG_LIMITS = {
  /**
   * What may wait for whoever reads it. Lines that come beyond that are dropped and counted until half of it has left: no
   * process waits for its log.
   */
  pendingBytesMax: 4 * MIB,
  /** Lines that have waited are written together up to this size. Writes to a pipe stay whole up to it (PIPE_BUF). */
  writeBytesMax: 4 * KIB,
  /** A pipe that takes nothing is tried again after this time; doubles … */
  retryMs: 1,
  /** … up to here. */
  retryMsMax: 256,
  /**
   * How long a process that ends waits for its last lines to be taken. It comes on top of `SINK_LIMITS.endFlushMs`, and both are
   * less than `PROCESS_LIMITS.drainReserveMs`.
   */
  endFlushMs: 200,
} as const

/** `host.once`: tasks that run in one worker of the node. */
export const ONCE_LIMITS = {
  /** Tasks of one instance. */
  tasksMax: 100,
  nameUnitsMax: 128,
  /** A task that must end here and does not: after this time it may run elsewhere all the same. */
  abortGraceMs: 5_000,
  /** The first pause of a task that fails before it runs again; each one is twice as long, up to `retryDelayMaxMs`. */
  retryDelayMs: 1_000,
  /** The longest such pause. */
  retryDelayMaxMs: 60_000,
} as const

/** The gateway's own processes and what they ask of one another. */
export const PROCESS_LIMITS = {
  /** From fork to the first answer: loading our code. Longer means that the process hangs. */
  childStartTimeoutMs: 20_000,
  /**
   * A supervisor that leaves so many questions in a row unanswered hangs, and is killed: after half a minute. The longest
   * turns of its event loop that are known take 0.8 s (to read a config of 10,000 consumers).
   */
  supervisorPulse: { periodMs: 5_000, missedMax: 6 },
  /** A master's or worker's answer that takes no plugin code. */
  answerTimeoutMs: 10_000,
  /** Another program listens on an address that a change has bound: how long until the next try. */
  listenRetryMs: 1_000,
  /** A worker's count of what it holds; one whose event loop is blocked is told of without. */
  censusTimeoutMs: 1_000,
  /** Starting all instances of a generation in one worker: `PLUGIN_LIMITS.startTimeoutMs` several times over. */
  stageTimeoutMs: 60_000,
  /** How often a worker that stages is asked whether it is there at all. */
  stageCheckMs: 10_000,
  /** How long it compiles routes at once, before requests have their turn. */
  stageSliceMs: 2,
  /** Before the second respawn; the first is immediate. Doubles each time, up to `respawnDelayMaxMs`. */
  respawnDelayMs: 100,
  /** The longest time before a respawn. Protects the machine from a process that dies at once, for ever. */
  respawnDelayMaxMs: 10_000,
  /** A process that lived this long was healthy: its next respawn is immediate again. */
  respawnHealthyMs: 30_000,
  /** Ctrl-C reaches us from the terminal and again from npm; what comes within this time is one signal. */
  signalRepeatMs: 500,
  /** Of the drain deadline, what is kept for stopping plugins and ending processes. */
  drainReserveMs: 1_000,
  /** Of `drainReserveMs`, what answers to exchanges that the deadline ends may take to leave; then the same for the hooks of those it cuts. */
  drainClosingMs: 250,
  /** From the moment that a replaced worker's successor listens: what is still in flight then is cut. */
  replaceDrainMs: 30_000,
  /** A request that is on its way when a replaced worker begins to drain is still served; then idle connections go. */
  replaceIdleGraceMs: 2_000,
  /** How long workers may take to notice that the master is gone before the supervisor kills them. */
  orphanGraceMs: 1_000,
} as const
