import type { Plugin } from '@cardea/sdk'

interface Config {
  greeting: string
}

export const PluginMain: Plugin<Config> = (config) => ({
  name: 'welcome',
  handle(ctx) {
    // Recorded now, put on whatever response comes.
    ctx.response.headers.set('x-greeting', config.greeting)
    return true
  },
})
