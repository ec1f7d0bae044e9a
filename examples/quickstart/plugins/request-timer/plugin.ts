import type { Plugin } from '@cardea/sdk'

export const PluginMain: Plugin = () => ({
  name: 'request-timer',
  handle(ctx) {
    ctx.own = performance.now()
    return true
  },
  // Also runs when a later plugin answers, or when the gateway answers 502 for an upstream that is gone.
  onResponse(ctx) {
    const durationMs = performance.now() - Number(ctx.own)
    // An upstream may have a Server-Timing field of its own; browsers show both.
    ctx.response.headers.append('server-timing', `gateway;dur=${durationMs.toFixed(1)}`)
  },
})
