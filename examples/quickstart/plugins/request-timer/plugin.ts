import type { Plugin } from '@cardea/sdk'

const STARTED_AT = 'request-timer:started-at'

export const PluginMain: Plugin = () => ({
  name: 'request-timer',
  handle(ctx) {
    ctx.values.set(STARTED_AT, performance.now())
    return true
  },
  // Also runs when a later plugin answers, or when the gateway answers 502 for an upstream that is gone.
  onResponse(ctx) {
    const durationMs = performance.now() - Number(ctx.values.get(STARTED_AT))
    // An upstream may have a Server-Timing field of its own; browsers show both.
    ctx.response.headers.append('server-timing', `gateway;dur=${durationMs.toFixed(1)}`)
  },
})
