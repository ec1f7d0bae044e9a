import type { FinishRecord, PluginTiming } from '@cardea/sdk'
import type { Chain } from './chain/chain.ts'
import type { ExchangeEnd } from './exchange-end.ts'
import type { Clock } from './sweeper.ts'

/** A meter, or null when no plugin of the chain asks for a record: then time is never taken. */
export function meterFor(chain: Chain, clock: Clock): ExchangeMeter | null {
  return chain.wantsRecord ? new ExchangeMeter(clock) : null
}

/** When an exchange passed which point, for its record. */
export class ExchangeMeter {
  readonly #clock: Clock
  readonly #startedAt: number
  readonly #startMs: number
  #handledMs = 0
  #connectedMs = 0
  #answeredMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedAt = clock.unixMs()
    this.#startMs = clock.nowMs()
  }

  handled(): void {
    if (this.#handledMs === 0) this.#handledMs = this.#clock.nowMs()
  }

  connected(): void {
    this.#connectedMs = this.#clock.nowMs()
  }

  answered(): void {
    this.#answeredMs = this.#clock.nowMs()
  }

  record(exchange: ExchangeEnd, target: string | null, plugins: readonly PluginTiming[]): FinishRecord {
    const endMs = this.#clock.nowMs()
    const handledMs = this.#handledMs || endMs
    const connectedMs = this.#connectedMs
    const answeredMs = this.#answeredMs
    return {
      id: exchange.id,
      generation: exchange.generation.number,
      route: exchange.route?.compiled.name ?? null,
      upstream: exchange.route?.upstream?.plan.name ?? null,
      target,
      clientIp: exchange.clientIp,
      method: exchange.head.method,
      host: exchange.host,
      url: exchange.receivedUrl || exchange.head.target,
      protocol: exchange.protocol,
      status: exchange.statusSent,
      requestBytes: exchange.requestBytes,
      responseBytes: exchange.responseBytes,
      startedAt: this.#startedAt,
      durations: {
        total: endMs - this.#startMs,
        handle: handledMs - this.#startMs,
        connect: connectedMs === 0 ? 0 : connectedMs - handledMs,
        upstream: answeredMs === 0 ? 0 : answeredMs - connectedMs,
        response: answeredMs === 0 ? 0 : endMs - answeredMs,
      },
      plugins,
      error: exchange.error?.code ?? null,
      aborted: exchange.aborted,
    }
  }
}
