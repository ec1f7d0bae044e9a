import { isObject } from './pointer.ts'
import { DURATION_PATTERN, SIZE_PATTERN } from './units.ts'

/** The JSON Schemas as editors need them: they know neither our formats nor that `${…}` may stand for any scalar. */

type Schema = Readonly<Record<string, unknown>>

const PATTERNS: Readonly<Record<string, string>> = { duration: DURATION_PATTERN, bytes: SIZE_PATTERN }

const VARIABLE = {
  type: 'string',
  pattern: '\\$\\{[^}]+\\}',
  description: 'A variable, replaced when the file is loaded.',
}

/** @param variables whether `${…}` is replaced in that file. */
export function editorSchema(schema: Schema, id: string, variables: boolean): Schema {
  const root = convert(schema, variables)
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: id,
    ...root,
    ...(variables ? { $defs: { variable: VARIABLE } } : {}),
  }
}

function convert(schema: Schema, variables: boolean): Schema {
  const copy: Record<string, unknown> = { ...schema }
  delete copy.unknownKeyHint
  const pattern = PATTERNS[String(schema.format)]
  if (pattern !== undefined) copy.pattern = pattern
  for (const key of ['items', 'additionalProperties'] as const) {
    const inner = schema[key]
    if (isObject(inner)) copy[key] = convert(inner, variables)
  }
  if (isObject(schema.properties)) {
    copy.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([key, inner]) => [
        key,
        isObject(inner) ? convert(inner, variables) : inner,
      ]),
    )
  }
  if (Array.isArray(schema.anyOf)) {
    // The choice as a whole takes a variable; inside of an object every member may be one again.
    const branches = schema.anyOf.map((branch: unknown) =>
      isObject(branch) ? convert(branch, variables && branch.type === 'object') : branch,
    )
    copy.anyOf = variables ? [...branches, { $ref: '#/$defs/variable' }] : branches
    return copy
  }
  return variables && isConstrainedScalar(schema) ? withVariable(copy) : copy
}

/** A string without rules takes a variable as it is. */
function isConstrainedScalar(schema: Schema): boolean {
  const types = [schema.type].flat()
  if (types.includes('object') || types.includes('array')) return false
  const isString = types.every((type) => type === 'string')
  return !isString || ['pattern', 'format', 'maxLength', 'const'].some((key) => key in schema)
}

/** What describes the value stays outside, where editors look for it. */
function withVariable(schema: Readonly<Record<string, unknown>>): Schema {
  const { description, default: fallback, ...rules } = schema
  return {
    ...(description === undefined ? {} : { description }),
    ...(fallback === undefined ? {} : { default: fallback }),
    anyOf: [rules, { $ref: '#/$defs/variable' }],
  }
}
