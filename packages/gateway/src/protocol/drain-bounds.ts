/** The times that a worker has to finish what it does. */
export interface DrainBounds {
  /** What is still in flight after this time is answered 503, or cut. */
  readonly deadlineMs: number
  /** So long those answers may take to leave, hooks included; and then what was cut nevertheless, to end its hooks. */
  readonly closingMs: number
  /** Then so long what plugins logged last may take to be written. */
  readonly flushMs: number
  /** Connections on which nothing is going on are closed only when no request comes for this time. */
  readonly idleGraceMs: number
}
