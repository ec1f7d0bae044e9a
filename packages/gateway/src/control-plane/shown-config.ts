import type { JsonObject } from '../config/types.ts'

const HIDDEN = '${…}'

/**
 * An instance's config for people. What no file has literally came through `${…}` and may be a secret: it is hidden.
 *
 * @param sources JSON Pointer of each leaf to the layer it comes from
 * @param written what the files that made it hold, `${…}` as it stands
 */
export function shownConfig(
  config: JsonObject,
  sources: ReadonlyMap<string, string>,
  written: readonly unknown[],
): JsonObject {
  const literals = new Set<unknown>()
  for (const value of written) collect(value, literals)
  const show = (value: unknown, pointer: string): unknown => {
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
