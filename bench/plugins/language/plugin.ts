import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main = () => ({
  name: 'language',
  handle({ request: { headers } }) {
    const wanted = headers.get('x-language-override') ?? headers.get('accept-language') ?? 'en'
    headers.set('x-language', wanted.slice(0, 2))
    return true
  },
})
