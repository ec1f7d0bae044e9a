import type { PluginTiming } from '@cardea/sdk'

/** One exchange's way, for `cardea dev`: what a person wants to see of it. */
export interface ExchangeTrace {
  readonly id: string
  readonly worker: number
  readonly generation: number
  readonly method: string
  readonly url: string
  readonly route: string | null
  readonly status: number
  readonly totalMs: number
  readonly upstreamMs: number
  readonly target: string | null
  readonly plugins: readonly PluginTiming[]
  readonly error: string | null
  readonly aborted: boolean
}
