import type { Fields } from './index.ts'

/**
 * Header fields by which the gateway tells an upstream what it found out, such as who is calling. The upstream trusts
 * them, so what a client sends under their names must never reach it, whether or not there is something to tell.
 */
export interface TrustedFields {
  /**
   * Removes what the client sent and sets the fields to these values, in the order of the names; null: there is none.
   * What it sends under these names after the body (trailers) does not go on either. Only in `handle`.
   */
  replace(headers: Fields, values: readonly (string | null)[]): void
}

/** Of more dashes only the form with no dash left is looked for as well: each doubles the number of forms. */
const DASHES_MAX = 4

/**
 * Fields of these names. Servers of the CGI kind (WSGI, Rack, PHP) read `x_user` as `x-user`, so a client's field that
 * differs in `_` and `-` only is removed too.
 */
export function trustedFields(names: readonly string[]): TrustedFields {
  const lowerCase = names.map((name) => name.toLowerCase())
  const aliases = [...new Set(lowerCase.flatMap(spellingsOf))].filter((name) => !lowerCase.includes(name))
  return {
    replace(headers, values) {
      // Also one that is not there: by that the gateway knows that it must not come in the trailers.
      for (const name of lowerCase) headers.delete(name)
      for (const name of aliases) {
        if (headers.has(name)) headers.delete(name)
      }
      for (let i = 0; i < lowerCase.length; i++) {
        const value = values[i]
        if (value !== null && value !== undefined) headers.append(lowerCase[i] as string, value)
      }
    },
  }
}

function spellingsOf(name: string): string[] {
  const parts = name.split(/[-_]/)
  if (parts.length > DASHES_MAX + 1) return [name, parts.join('_'), parts.join('-')]
  return parts
    .slice(1)
    .reduce((made, part) => made.flatMap((head) => [`${head}-${part}`, `${head}_${part}`]), [parts[0] ?? ''])
}

const FIELD_LENGTH_MAX = 4_096

/**
 * A value as the text of a field, or null when no field can hold it so that it reads in one way: strings as UTF-8, numbers and
 * booleans as they are written, lists of these joined by commas if none holds one, anything else as JSON. Control
 * characters, and more than 4,096 characters, cannot be told.
 */
export function fieldText(value: unknown): string | null {
  const text = textOf(value)
  if (text === null || text.length > FIELD_LENGTH_MAX || hasControls(text)) return null
  if (/^[!-~]([ -~]*[!-~])?$/.test(text)) return text
  // What stands between spaces would come out without them: another value.
  if (text.trim() !== text || text === '') return null
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join('')
}

function textOf(value: unknown): string | null {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
    case 'boolean':
      return String(value)
    case 'object':
      break
    default:
      return null
  }
  if (value === null) return null
  if (!Array.isArray(value)) return JSON.stringify(value)
  if (value.some((member) => typeof member === 'object')) return JSON.stringify(value)
  const members = value.map(textOf)
  if (members.some((member) => member === null || member === '' || member.includes(','))) return null
  return members.join(',')
}

function hasControls(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code === 0x7f) return true
  }
  return false
}
