import type { PluginMain as Main } from '@cardea/sdk'

export const PluginMain: Main = () => ({
  name: 'tenant',
  handle({ request: { headers } }) {
    const host = headers.get('host') ?? ''
    const dot = host.indexOf('.')
    headers.set('x-tenant', headers.get('x-organisation') ?? (dot > 0 ? host.slice(0, dot) : 'default'))
    return true
  },
})
