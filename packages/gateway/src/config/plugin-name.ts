/** Names of plugins and their instances. */
export const PLUGIN_NAME_PATTERN = '^[a-z][a-z0-9]*(-[a-z0-9]+)*$'

export function isPluginName(text: string): boolean {
  return new RegExp(PLUGIN_NAME_PATTERN).test(text)
}
