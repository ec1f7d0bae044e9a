import type { Plugin } from '@cardea/sdk'

interface Config {
  token: string
}

export const PluginMain: Plugin<Config> = (config, host) => {
  const expected = `Bearer ${config.token}`
  return {
    name: 'api-token',
    handle({ request, response }) {
      // Not `===`: its time would tell how much of a guessed token is right.
      if (host.timingSafeEqual(request.headers.get('authorization') ?? '', expected)) return true
      return response.json(
        { error: 'This route needs a token', hint: 'Send it as "Authorization: Bearer TOKEN".' },
        { status: 401, headers: { 'www-authenticate': 'Bearer' } },
      )
    },
  }
}
