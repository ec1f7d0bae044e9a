import { isSecretAt } from '../config/secret-schema.ts'
import type { JsonObject, JsonSchema } from '../config/types.ts'

const HIDDEN = '${…}'

/**
 * An instance's config for people. What no file has literally came through `${…}` and may be a secret: it is hidden, and so
 * is what the plugin's schema calls a secret.
 *
 * @param sources JSON Pointer of each leaf to the layer it comes from
 * @param written what the files that made it hold, `${…}` as it stands
 * @param schema the plugin's `config_schema`
 */
export function shownConfig(
  config: JsonObject,
  sources: ReadonlyMap<string, string>,
  written: readonly unknown[],
  schema: JsonSchema | null,
): JsonObject {
  const literals = new Set<unknown>()
  for (const value of written) collect(value, literals)
  const show = (value: unknown, pointer: string): unknown => {
    if (isSecretAt(schema, pointer)) return HIDDEN
    if (Array.isArray(value)) return value.map((member, index) => show(member, `${pointer}/${index}`))
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(
        Object.entries(value).map(([key, member]) => [
          key,
          show(member, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`),
        ]),
      )
    }
    return literals.has(value) || sources.get(pointer) === 'schema default' ? value : HIDDEN
  }
  return show(config, '') as JsonObject
}

function collect(value: unknown, literals: Set<unknown>): void {
  if (typeof value !== 'object' || value === null) literals.add(value)
  else for (const member of Object.values(value)) collect(member, literals)
}
