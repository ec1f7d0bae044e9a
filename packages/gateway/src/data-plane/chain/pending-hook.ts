import type { HookContext } from './context.ts'

export type Hook = 'handle' | 'onResponse' | 'onError' | 'onFinish'

/** A hook that returned a promise. */
export interface PendingHook {
  readonly context: HookContext
  readonly hook: Hook
  /** By the sweeper's clock. It moves on while the hook waits for bytes of a body. */
  deadlineMs: number
  /** What goes on when an onError or onFinish has ended. */
  readonly then: (() => void) | null
}
