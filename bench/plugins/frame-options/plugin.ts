import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main = () => ({
  name: 'frame-options',
  handle({ request, response }) {
    const origin = request.headers.get('origin')
    const same = origin === null || origin.endsWith(`//${request.headers.get('host')}`)
    response.headers.set('x-frame-options', same ? 'SAMEORIGIN' : 'DENY')
    return true
  },
})
