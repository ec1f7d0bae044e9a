/** The two plugins of the matrix, well and with each of their faults. */

export type Kind = 'security' | 'observe'

export const PLUGIN_OF = { security: 'guard', observe: 'watch' } as const satisfies Record<Kind, string>

export interface PluginForm {
  /** Shows in the requests that pass. */
  readonly version: number
  /** Merged into plugin.json. */
  readonly manifest?: Readonly<Record<string, unknown>>
  /** Statements at the beginning of PluginMain. */
  readonly start?: string
  /** Statements at the beginning of `handle`. */
  readonly handle?: string
  /** Of the text of plugin.ts. */
  readonly edit?: (text: string) => string
}

/** The files of the plugin's folder. The security plugin marks every request with the secret, the other with its version. */
export function pluginFiles(
  kind: Kind,
  secret: string,
  form: PluginForm,
): { readonly 'plugin.json': string; readonly 'plugin.ts': string } {
  const name = PLUGIN_OF[kind]
  const { version, manifest = {}, start = '', handle = '', edit = (text) => text } = form
  const mark = kind === 'security' ? `${secret}/${version}` : `${version}`
  const text = `import type { Plugin } from '@cardea/sdk'

export const PluginMain: Plugin = async () => {
  ${start}
  return {
    name: '${name}',
    handle(ctx): boolean | Promise<boolean> {
      ${handle}
      ctx.request.headers.set('x-${name}', '${mark}')
      return true
    },
  }
}
`
  const json = { name, version: '1.0.0', category: kind, timeout_ms: 100, ...manifest }
  return { 'plugin.json': `${JSON.stringify(json, null, 2)}\n`, 'plugin.ts': edit(text) }
}
