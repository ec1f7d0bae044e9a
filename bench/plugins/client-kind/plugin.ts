import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main = () => ({
  name: 'client-kind',
  handle({ request: { headers } }) {
    const browser =
      headers.get('user-agent')?.startsWith('Mozilla') && headers.get('accept')?.includes('html')
    headers.set('x-client-kind', browser ? 'browser' : 'program')
    return true
  },
})
