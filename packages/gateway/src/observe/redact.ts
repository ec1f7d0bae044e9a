import { isSecretKey, REDACTED } from '../base/secret-keys.ts'

/**
 * Makes the fields of a log line safe to write: secrets are blanked by the name of their key, and every value is
 * bounded, so that no request can make a line of a megabyte.
 */

const DEPTH_MAX = 5
const ENTRIES_MAX = 100
/** Of a list of names: which they are is all that it says. */
const NAMES_MAX = 1_000
const NAME_LENGTH_MAX = 100
const TEXT_LENGTH_MAX = 2_000
const STACK_LENGTH_MAX = 6_000

/** A copy of `fields` without secrets, cycles, functions and excess. Never throws, whatever a getter does. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  try {
    return copyEntries(Object.entries(fields), 1)
  } catch {
    return { fields: '[unreadable]' }
  }
}

function copyEntries(entries: Iterable<[unknown, unknown]>, depth: number): Record<string, unknown> {
  const copy: Record<string, unknown> = {}
  let count = 0
  for (const [name, value] of entries) {
    count += 1
    if (count > ENTRIES_MAX) {
      copy['…'] = 'more entries than a log line takes'
      break
    }
    const key = shorten(String(name))
    // Defined, not assigned: a field called __proto__ must not become the copy's prototype.
    const safe = isSecretKey(key) && isWorthHiding(value) ? REDACTED : copyValue(key, value, depth)
    Object.defineProperty(copy, key, { value: safe, enumerable: true })
  }
  return copy
}

/** A flag or null under a secret's key says something and gives nothing away. */
function isWorthHiding(value: unknown): boolean {
  return value !== null && value !== undefined && typeof value !== 'boolean'
}

function copyValue(key: string, value: unknown, depth: number): unknown {
  if (typeof value === 'string') return shorten(value, key === 'stack' ? STACK_LENGTH_MAX : TEXT_LENGTH_MAX)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'function' || typeof value === 'symbol') return `[${typeof value}]`
  if (typeof value !== 'object' || value === null) return value
  if (depth > DEPTH_MAX) return '[deeper than a log line goes]'
  return copyObject(value, depth)
}

function copyObject(value: object, depth: number): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  if (value instanceof Error) return copyError(value, depth)
  if (value instanceof Uint8Array) return `[${value.byteLength} bytes]`
  if (value instanceof Map) return copyEntries(value, depth + 1)
  if (value instanceof Set || Array.isArray(value)) return copyItems([...value], depth)
  return copyEntries(Object.entries(value), depth + 1)
}

function copyItems(items: readonly unknown[], depth: number): unknown[] {
  const max = items.slice(0, NAMES_MAX).every(isName) ? NAMES_MAX : ENTRIES_MAX
  const copied = items.slice(0, max).map((item) => copyValue('', item, depth + 1))
  return items.length > max ? [...copied, `… (${items.length} entries)`] : copied
}

function isName(item: unknown): boolean {
  return typeof item === 'string' && item.length <= NAME_LENGTH_MAX
}

function copyError(error: Error, depth: number): Record<string, unknown> {
  const entries: [string, unknown][] = [
    ['name', error.name],
    ['message', error.message],
    ['stack', error.stack],
    ...Object.entries(error),
  ]
  if (error.cause !== undefined) entries.push(['cause', error.cause])
  return copyEntries(entries, depth + 1)
}

/** `text`, cut where a log line gets too long; then its full length is said. */
export function shorten(text: string, lengthMax: number = TEXT_LENGTH_MAX): string {
  return text.length <= lengthMax ? text : `${text.slice(0, lengthMax)}… (${text.length} characters)`
}
