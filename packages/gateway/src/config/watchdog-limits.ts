/**
 * How a worker's watchdog thread goes about it. All workers are to be free of a plugin that blocks within the stall limit
 * and half a second, which these share.
 */
export const WATCHDOG_LIMITS = {
  beatMs: 100,
  /** The thread looks this often; more often when the limit is near. */
  pollMs: 100,
  /** A first look proves that the main thread runs at all; if it still stands still after this, it is stuck. */
  confirmMs: 100,
  /** A main thread that runs has had so much CPU time by then; it gets some more when the machine is short of cores … */
  confirmCpuMs: 50,
  /** … unless the process sleeps: then it is less than this. */
  asleepCpuMs: 5,
  /** Between looks that find no plugin: an endless chain of promises is seen between two of its steps now and then. */
  lookAgainMs: 20,
  /** So many looks for a plugin, or for a main thread that does not stop; then the process is ended, or left alone. */
  looksMax: 20,
  /** Of a process with less CPU time than this in all these looks the machine is short of cores, unless it sleeps … */
  stuckCpuMs: 350,
  /** … which is less than this without a wait for a core (thread-load.ts). Short of cores it gets so many times as many looks. */
  sleepingCpuMs: 30,
  starvedFactor: 5,
  /** The same where nobody can say that a plugin runs: it could be a long garbage collection. */
  unknownLooksMax: 250,
  /** The process ends although no plugin is to blame: a mistake of the gateway's own must not hang it for ever. */
  hopelessMs: 30_000,
  /** A loop that allocates does not get the whole stall limit: memory would be gone first. Share of the heap's limit. */
  heapShareMax: 0.25,
  /** A process that ends waits so long for the thread to let go of the inspector, looking as often as this. */
  detachMs: 1_000,
  detachLookMs: 10,
  /** What is told of a stack. */
  framesMax: 20,
  /** Receivers on a stack that are looked at. Only recursion of a plugin is deeper than a few dozen. */
  receiversMax: 500,
  threadHeapMb: 32,
} as const
