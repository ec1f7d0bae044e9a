import { GATEWAYS_OWN, isGatewayField } from './gateway-fields.ts'
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

/** Each dash doubles the number of spellings: those of names with more of them are not listed but looked for. */
const DASHES_MAX = 4

/**
 * Fields of these names. Servers of the CGI kind (WSGI, Rack, PHP) read `x_user` as `x-user`, so a client's field that
 * differs in `_` and `-` only is removed too. Throws TypeError on a name that is there twice, or that the gateway writes
 * itself: every request would fail by it.
 */
export function trustedFields(names: readonly string[]): TrustedFields {
  const lowerCase = names.map((name) => name.toLowerCase())
  for (const [index, name] of lowerCase.entries()) {
    const reason = isGatewayField(name)
      ? GATEWAYS_OWN
      : lowerCase.indexOf(name) < index
        ? 'is there twice'
        : ''
    if (reason !== '') throw new TypeError(`The upstream cannot be told by the field "${name}": it ${reason}`)
  }
  const aliases = [...new Set(lowerCase.flatMap(spellingsOf))].filter((name) => !lowerCase.includes(name))
  const long = new Set(lowerCase.filter((name) => dashesIn(name) > DASHES_MAX).map(withDashes))
  return {
    replace(headers, values) {
      // Also one that is not there: by that the gateway knows that it must not come in the trailers.
      for (const name of lowerCase) headers.delete(name)
      for (const name of aliases) {
        if (headers.has(name)) headers.delete(name)
      }
      if (long.size > 0) deleteSpellings(headers, long)
      for (let i = 0; i < lowerCase.length; i++) {
        const value = values[i]
        if (value !== null && value !== undefined) headers.append(lowerCase[i] as string, value)
      }
    },
  }
}

/** Removes what differs from one of these names, which are written with dashes, in `_` and `-` only. */
function deleteSpellings(headers: Fields, names: ReadonlySet<string>): void {
  const given = new Set(Array.from(headers, ([name]) => name))
  for (const name of given) if (names.has(withDashes(name))) headers.delete(name)
}

function withDashes(name: string): string {
  return name.replaceAll('_', '-')
}

function dashesIn(name: string): number {
  return name.split(/[-_]/).length - 1
}

function spellingsOf(name: string): string[] {
  if (dashesIn(name) > DASHES_MAX) return []
  const [first = '', ...parts] = name.split(/[-_]/)
  return parts.reduce((made, part) => made.flatMap((head) => [`${head}-${part}`, `${head}_${part}`]), [first])
}

const FIELD_LENGTH_MAX = 4_096

/**
 * A value as the text of a field, or null when no field can hold it so that it reads in one way: strings as UTF-8, numbers and
 * booleans as they are written, lists of these joined by commas if none holds one, anything else as JSON. Control
 * characters, lone surrogates, and more than 4,096 characters cannot be told.
 */
export function fieldText(value: unknown): string | null {
  const text = textOf(value)
  if (text === null || text.length > FIELD_LENGTH_MAX || hasControls(text)) return null
  // UTF-8 writes every lone surrogate alike: two names would be one.
  if (!text.isWellFormed()) return null
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
