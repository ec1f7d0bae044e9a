/** JSON Pointers (RFC 6901), and the form of a path that people write: `routes[0].upstream`. */

export function joinPointer(base: string, key: string | number): string {
  return `${base}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

export function splitPointer(pointer: string): string[] {
  if (pointer === '') return []
  return pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** The pointer of the container; '' stays ''. */
export function parentPointer(pointer: string): string {
  return pointer.slice(0, Math.max(0, pointer.lastIndexOf('/')))
}

export function lastKey(pointer: string): string {
  return splitPointer(pointer).at(-1) ?? ''
}

/** `/routes/0/plugins/rate-limit` → `routes[0].plugins.rate-limit`. */
export function describePointer(pointer: string): string {
  let text = ''
  for (const part of splitPointer(pointer)) {
    if (/^\d+$/.test(part)) text += `[${part}]`
    else if (/^[\w$-]+$/.test(part)) text += text === '' ? part : `.${part}`
    else text += `[${JSON.stringify(part)}]`
  }
  return text
}

/** The value there, or undefined. Only own members are seen. */
export function readPointer(root: unknown, pointer: string): unknown {
  let value = root
  for (const part of splitPointer(pointer)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<string, unknown>)[part]
  }
  return value
}

/** Replaces a value that is there. Does nothing when it is not, or at the root. */
export function replaceAtPointer(root: unknown, pointer: string, replacement: unknown): void {
  const container = readPointer(root, parentPointer(pointer))
  const key = lastKey(pointer)
  if (pointer === '' || typeof container !== 'object' || container === null) return
  if (Object.hasOwn(container, key)) (container as Record<string, unknown>)[key] = replacement
}

/** A plain object, as parsers make them: not null, not an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A deep copy in which nothing is shared, even where a YAML alias shared it: each place can be changed alone. */
export function copyTree(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyTree)
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, copyTree(member)]))
}
