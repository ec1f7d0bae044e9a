import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main = () => ({
  name: 'cache-hint',
  handle({ request, response }) {
    const fresh =
      request.headers.get('cache-control') === 'no-cache' || request.headers.get('pragma') === 'no-cache'
    response.headers.set('x-cache-hint', fresh ? 'bypass' : 'allow')
    return true
  },
})
