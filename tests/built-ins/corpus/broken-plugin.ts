/** A user's plugin that fails as its path says, behind the built-in ones. */
export const BROKEN = {
  'plugin.json': { name: 'broken', version: '1.0.0', scope: 'route', category: 'transform' },
  'plugin.ts': `
import type { Context, Middleware } from '@cardea/sdk'

export function PluginMain(): Middleware {
  return {
    name: 'broken',
    handle(ctx: Context) {
      if (ctx.request.path.endsWith('/throws')) throw new Error('broken')
      if (!ctx.request.path.endsWith('/answers')) return true
      return ctx.response.json({ answered: true }, { status: 418, headers: { vary: 'Cookie' } })
    },
    onResponse(ctx: Context) {
      if (ctx.request.path.endsWith('/throws-late')) throw new Error('broken late')
    },
  }
}
`,
} as const
