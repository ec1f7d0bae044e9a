/** How many names a person is shown at most; all of them are in the JSON. */
export const NAMES_SHOWN_MAX = 8

/** `a, b and 3 more`. */
export function someOf(items: readonly string[], max: number): string {
  if (items.length <= max) return items.join(', ')
  return `${items.slice(0, max).join(', ')} and ${items.length - max} more`
}
