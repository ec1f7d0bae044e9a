import { FORMATS } from './formats.ts'
import { isObject } from './pointer.ts'

/** What a schema asks for, in words: the `expected` of problems and the type column of the reference pages. */

const LIST_LENGTH_MAX = 24

/** `one of a, b, c`, cut off after many. */
export function oneOf(items: readonly string[]): string {
  return `${items.length === 1 ? '' : 'one of '}${shortened(items).join(', ')}`
}

function shortened(items: readonly string[]): readonly string[] {
  return items.length > LIST_LENGTH_MAX ? [...items.slice(0, LIST_LENGTH_MAX), '…'] : items
}

/** `"a", "b" or "c"`. */
export function listOf(items: readonly string[]): string {
  const shown = shortened(items)
  const last = shown.at(-1) ?? 'nothing'
  return shown.length < 2 ? last : `${shown.slice(0, -1).join(', ')} or ${last}`
}

/** One phrase for what a value must be. */
export function describeSchema(schema: unknown): string {
  if (!isObject(schema)) return schema === false ? 'nothing' : 'any value'
  if ('const' in schema) return JSON.stringify(schema.const)
  if (Array.isArray(schema.enum)) return listOf(schema.enum.map((value) => JSON.stringify(value)))
  const branches = schema.anyOf ?? schema.oneOf
  if (Array.isArray(branches)) return listOf([...new Set(branches.map(describeSchema))])
  const types = [schema.type].flat().filter((type) => typeof type === 'string')
  const unit =
    typeof schema.format === 'string' && (schema.format === 'duration' || schema.format === 'bytes')
  // A bare 0 is a courtesy of units, no type of its own.
  if (unit) return describeType('string', schema)
  return types.length === 0 ? 'another value' : listOf(types.map((type) => describeType(type, schema)))
}

function describeType(type: string, schema: Readonly<Record<string, unknown>>): string {
  switch (type) {
    case 'string':
      return describeString(schema)
    case 'integer':
      return `a whole number${describeRange(schema)}`
    case 'number':
      return `a number${describeRange(schema)}`
    case 'boolean':
      return 'true or false'
    case 'array':
      return schema.minItems === 1 ? 'a list with at least one item' : 'a list'
    case 'object':
      return describeObject(schema)
    default:
      return 'null'
  }
}

function describeString(schema: Readonly<Record<string, unknown>>): string {
  const least = typeof schema.formatMinimum === 'string' ? `, at least "${schema.formatMinimum}"` : ''
  const most = typeof schema.formatMaximum === 'string' ? `, at most "${schema.formatMaximum}"` : ''
  if (typeof schema.format === 'string') {
    return (FORMATS[schema.format]?.form ?? `a string of format ${schema.format}`) + least + most
  }
  if (typeof schema.patternErrorMessage === 'string') return schema.patternErrorMessage
  if (typeof schema.pattern === 'string') return `a string that matches ${schema.pattern}`
  if (typeof schema.maxLength === 'number') return `a string of at most ${schema.maxLength} characters`
  return 'a string'
}

function describeRange(schema: Readonly<Record<string, unknown>>): string {
  const { minimum, maximum, exclusiveMinimum } = schema
  if (typeof exclusiveMinimum === 'number') {
    return ` above ${exclusiveMinimum}${typeof maximum === 'number' ? `, at most ${maximum}` : ''}`
  }
  if (typeof minimum === 'number' && typeof maximum === 'number') return ` from ${minimum} to ${maximum}`
  if (typeof minimum === 'number') return `, at least ${minimum}`
  return typeof maximum === 'number' ? `, at most ${maximum}` : ''
}

function describeObject(schema: Readonly<Record<string, unknown>>): string {
  const keys = isObject(schema.properties) ? Object.keys(schema.properties) : []
  if (keys.length === 0) return 'an object'
  return keys.length <= 3 ? `an object with ${listOf(keys)}` : 'an object'
}
